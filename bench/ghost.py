"""Does the figure of `mild.paint.ghost` agree with eyes? Against the blind votes on the same pairs of pictures.

    python bench/ghost.py OUT --data FOLDER --votes KEY.json ANSWERS.json --votes ... [--json FILE]

OUT holds the pictures of the methods that the keys name (`bench/real.py run`); a pair without both is left out and
counted. In how many pairs with a winner the winner has the better figure (and how likely a coin does as well), and
Spearman's rank correlation of its lead with the vote. When one method nearly always wins, a figure can agree by telling
the methods apart; so the same within comparisons, ranks and votes taken from their comparison's mean, and how often
leads shuffled there do as well.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mild.paint.ghost import ghost
from mild.people.finders.coco import decode_rle
from real import photo_of, picture

#: Of leads, within their comparisons.
SHUFFLES = 5000
Floats = NDArray[np.float64]


def leads(out: Path, data: Path, key: Path, answers: Path, items: dict[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """Of each pair the vote and the lead, above 0 for the method first by name; and how many had no pictures."""
    rows, absent = [], 0
    told = json.loads(answers.read_text())["answers"]
    for number, pair in enumerate(json.loads(key.read_text())["pairs"]):
        vote = {"left": 1, "same": 0, "right": -1}.get(told.get(str(number), ""))
        item = items.get(pair["item"])
        files = [out / pair[side] / f"{pair['item']}.png" for side in ("left", "right")]
        if vote is None:
            continue
        if item is None or not all(f.exists() for f in files):
            absent += 1
            continue
        photo = photo_of(data, item)
        hole = decode_rle(item["mask"], photo.shape[:2])
        left, right = (ghost(picture(out, pair[side], item), hole) for side in ("left", "right"))
        if left is not None and right is not None:
            # Methods in one order, so that a comparison has a mean.
            sign = 1 if pair["left"] < pair["right"] else -1
            rows.append({"item": pair["item"], "vote": sign * vote, "lead": sign * (right - left)})
    return rows, absent


def agreement(vote: Floats, lead: Floats, group: NDArray[np.int_], rng: np.random.Generator) -> dict[str, float]:
    decided = (vote != 0) & (lead != 0)
    agree, of = int((np.sign(lead) == vote)[decided].sum()), int(decided.sum())
    inside_vote, inside_lead = within(vote, group), within(stats.rankdata(lead), group)
    found = corr(inside_vote, inside_lead)
    shuffled = 0
    for _ in range(SHUFFLES):
        mixed = inside_lead.copy()
        for g in np.unique(group):
            mixed[group == g] = rng.permutation(mixed[group == g])
        shuffled += corr(inside_vote, mixed) >= found
    return {
        "agree": agree,
        "of": of,
        "coin": float(stats.binomtest(agree, of, alternative="greater").pvalue) if of else 1.0,
        "rank": float(stats.spearmanr(vote, lead).statistic),
        "within": found,
        "chance": (shuffled + 1) / (SHUFFLES + 1),
    }


def within(values: Floats, group: NDArray[np.int_]) -> Floats:
    out = np.asarray(values, np.float64).copy()
    for g in np.unique(group):
        out[group == g] -= out[group == g].mean()
    return out


def corr(a: Floats, b: Floats) -> float:
    spread = float(a.std() * b.std())
    return float((a * b).mean() - a.mean() * b.mean()) / spread if spread else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--votes", nargs=2, type=Path, action="append", required=True, metavar=("KEY", "ANSWERS"))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    items = {item["name"]: item for item in json.loads((args.out / "items.json").read_text())}
    rows: list[dict[str, Any]] = []
    for number, (key, answers) in enumerate(args.votes):
        found, absent = leads(args.out, args.data, key, answers, items)
        rows += [row | {"group": number} for row in found]
        print(f"{answers.name}: {len(found)} pairs, {absent} without pictures", flush=True)
    vote = np.asarray([row["vote"] for row in rows], np.float64)
    group = np.asarray([row["group"] for row in rows])
    rng = np.random.default_rng(0)
    told = agreement(vote, np.asarray([row["lead"] for row in rows], np.float64), group, rng)
    print(f"agrees {told['agree']} of {told['of']} (a coin: {told['coin']:.2g}), rank {told['rank']:+.2f}, "
          f"within comparisons {told['within']:+.2f} (chance {told['chance']:.4f})")  # fmt: skip
    if args.json:
        args.json.write_text(json.dumps({"ghost": told, "pairs": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
