"""One LoRA per row of a batch: every layer of a photo goes through the shared UNet with its own domain's adapter.

LoRA: Hu et al., arXiv 2106.09685. The adapters of all domains are held stacked; a row's one-hot gate switches on its
own ranks between A and B, so that one dense product pair serves the whole batch and no layer is copied or swapped.
It equals peft's one-adapter-at-a-time result (tested), traces as one graph, and allows soft gates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn

from mild.errors import MildError

#: Module names (the end of the dotted path) that get an adapter.
DEFAULT_TARGETS = (
    "to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out", "conv1", "conv2",
)  # fmt: skip


class DomainAdapters(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """The stacked LoRAs of all domains for one UNet.

    Args:
        domains: their names; a row's gate selects among them.
        rank: of each LoRA.
        alpha: the update is scaled by ``alpha / rank``.
        layers: ``{dotted module path: [out_features, in_features, kernel]}``, kernel 0 for a linear layer; usually
            from :meth:`for_unet`.
    """

    config_name = "config.json"

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        domains: Sequence[str] = ("background", "person"),
        rank: int = 8,
        alpha: float = 8.0,
        layers: dict[str, Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        self.domains = tuple(domains)
        self.rank, self.alpha = rank, alpha
        self.layers = {path: tuple(shape) for path, shape in (layers or {}).items()}
        self.down = nn.ParameterDict()
        self.up = nn.ParameterDict()
        total = len(self.domains) * rank
        for path, (n_out, n_in, kernel) in self.layers.items():
            down_shape = (total, n_in, kernel, kernel) if kernel else (total, n_in)
            up_shape = (n_out, total, 1, 1) if kernel else (n_out, total)
            self.down[_key(path)] = nn.Parameter(torch.empty(down_shape))
            self.up[_key(path)] = nn.Parameter(torch.zeros(up_shape))
            nn.init.kaiming_uniform_(self.down[_key(path)], a=5**0.5)
        # So that device and dtype are known even when no layer is adapted.
        self.register_buffer("anchor", torch.zeros(1), persistent=True)

    @classmethod
    def for_unet(
        cls,
        unet: nn.Module,
        domains: Sequence[str] = ("background", "person"),
        rank: int = 8,
        alpha: float | None = None,
        targets: Sequence[str] = DEFAULT_TARGETS,
    ) -> Self:
        """Fresh adapters (zero update) for every linear or convolution of ``unet`` whose path ends in a target."""
        layers: dict[str, Sequence[int]] = {}
        for path, module in unet.named_modules():
            module = getattr(module, "base_layer", module)
            if not any(path == t or path.endswith(f".{t}") for t in targets):
                continue
            if isinstance(module, nn.Linear):
                layers[path] = (module.out_features, module.in_features, 0)
            elif isinstance(module, nn.Conv2d) and module.groups == 1:
                layers[path] = (module.out_channels, module.in_channels, module.kernel_size[0])
        made: Self = cls(domains=tuple(domains), rank=rank, alpha=rank if alpha is None else alpha, layers=layers)
        return made

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **kwargs: Any) -> Any:
        """As diffusers' models; :class:`MildError` when the weights are not of the rank or layers that are written."""
        try:
            return super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        except (RuntimeError, ValueError) as error:
            raise MildError(
                f"The adapters in {pretrained_model_name_or_path} have another rank, or other layers, than their "
                "config.json says; save them again from the model that they were trained with."
            ) from error

    def gate(self, rows: Sequence[str | None]) -> torch.Tensor:
        """One-hot gate ``[rows, domains]``; a row named None gets no adapter."""
        gate = torch.zeros(len(rows), len(self.domains), device=self.device, dtype=self.dtype)
        for i, name in enumerate(rows):
            if name is not None:
                gate[i, self._number(name)] = 1.0
        return gate

    def _number(self, domain: str) -> int:
        if domain not in self.domains:
            raise MildError(f"There is no adapter '{domain}'; this model has {', '.join(self.domains)}.")
        return self.domains.index(domain)

    @contextmanager
    def attached(self, unet: nn.Module, gate: torch.Tensor) -> Iterator[None]:
        """While open, row ``i`` of every forward of ``unet`` runs with the adapters of ``gate[i]``.

        Forward hooks only: the UNet's modules and weights stay as they are, and the hooks go whatever happens.

        Raises:
            MildError: the adapters were made for another architecture.
        """
        modules = self.check(unet)
        scaled = gate.repeat_interleave(self.rank, dim=1) * (self.alpha / self.rank)
        handles = []
        try:
            for path in self.layers:
                handles.append(modules[path].register_forward_hook(self._hook(path, scaled)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, path: str, gate: torch.Tensor):  # type: ignore[no-untyped-def]
        down, up = self.down[_key(path)], self.up[_key(path)]

        def add_update(module: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
            x, base = args[0], getattr(module, "base_layer", module)
            a, b = down.to(x.dtype), up.to(x.dtype)
            # Rows may come repeated (classifier-free guidance) or with their frames unrolled.
            rows = gate.repeat(x.shape[0] // gate.shape[0], 1) if x.shape[0] != gate.shape[0] else gate
            if isinstance(base, nn.Conv2d):
                hidden = F.conv2d(x, a, None, base.stride, base.padding, base.dilation)
                return output + F.conv2d(hidden * rows[:, :, None, None].to(x.dtype), b)
            hidden = F.linear(x, a)
            by_row = rows.view(rows.shape[0], *(1,) * (x.ndim - 2), -1).to(x.dtype)
            return output + F.linear(hidden * by_row, b)

        return add_update

    def check(self, unet: nn.Module) -> dict[str, nn.Module]:
        """The modules of ``unet`` by path.

        Raises:
            MildError: the adapters were made for another architecture.
        """
        modules = dict(unet.named_modules())
        for path, wanted in self.layers.items():
            # peft wraps what it adapts; a user's own LoRA may be on the same layer.
            module, found = modules.get(path), None
            module = getattr(module, "base_layer", module)
            if isinstance(module, nn.Linear):
                found = (module.out_features, module.in_features, 0)
            elif isinstance(module, nn.Conv2d):
                found = (module.out_channels, module.in_channels, module.kernel_size[0])
            if found != wanted:
                raise MildError(
                    f"The adapters do not fit this UNet: '{path}' should be {wanted}, but is {found}; "
                    "use adapters trained for this backbone."
                )
        return modules

    @torch.no_grad()
    def widened(self, rank: int) -> DomainAdapters:
        """Adapters of a higher rank that do exactly what these do, with room to learn more.

        Raises:
            MildError: a rank that is not higher.
        """
        if rank <= self.rank:
            raise MildError(f"These adapters have rank {self.rank}; {rank} is not more.")
        made = DomainAdapters(domains=self.domains, rank=rank, alpha=float(rank), layers=dict(self.layers))
        for i in range(len(self.domains)):
            old, new = (slice(i * r, i * r + self.rank) for r in (self.rank, rank))
            for path in self.layers:
                made.down[_key(path)][new] = self.down[_key(path)][old]
                made.up[_key(path)][:, new] = self.up[_key(path)][:, old] * (self.alpha / self.rank)
        return made

    def domain_state(self, domain: str) -> dict[str, torch.Tensor]:
        """One domain's LoRA with diffusers' key names (``unet.<path>.lora_A.weight``), for ``load_lora_weights``."""
        i = self._number(domain)
        part = slice(i * self.rank, (i + 1) * self.rank)
        state = {}
        for path in self.layers:
            state[f"unet.{path}.lora_A.weight"] = self.down[_key(path)][part].detach().clone()
            state[f"unet.{path}.lora_B.weight"] = self.up[_key(path)][:, part].detach().clone() * (
                self.alpha / self.rank
            )
        return state

    def load_domain(self, domain: str, state: Mapping[str, torch.Tensor]) -> None:
        """Take one domain's LoRA from a state with diffusers' key names, the inverse of :meth:`domain_state`.

        ``<path>.alpha`` scales, where there is one; layers that the state lacks get an update of zero.

        Raises:
            MildError: no such domain, another rank, another architecture, or no LoRA at all.
        """
        i = self._number(domain)
        part = slice(i * self.rank, (i + 1) * self.rank)
        state = {name.removeprefix("unet."): value for name, value in state.items()}
        paths = {name.removesuffix(".lora_A.weight") for name in state if name.endswith(".lora_A.weight")}
        if not paths:
            raise MildError("The file holds no LoRA (there is no key that ends in lora_A.weight).")
        for path in paths:
            down, up = state[f"{path}.lora_A.weight"], state.get(f"{path}.lora_B.weight")
            if path in self.layers and up is not None and down.shape[0] != self.rank:
                raise MildError(f"The LoRA has rank {down.shape[0]}, but these adapters have rank {self.rank}.")
            fits = path in self.layers and up is not None and down.shape[1:] == self.down[_key(path)].shape[1:]
            if not fits or up is None or up.shape[0] != self.layers[path][0]:
                raise MildError(f"The LoRA was made for another architecture: its layer '{path}' does not fit.")
        with torch.no_grad():
            for path in self.layers:
                if path not in paths:
                    self.up[_key(path)][:, part] = 0
                    continue
                scale = float(state.get(f"{path}.alpha", self.rank)) / self.alpha
                self.down[_key(path)][part] = state[f"{path}.lora_A.weight"].to(self.down[_key(path)])
                self.up[_key(path)][:, part] = state[f"{path}.lora_B.weight"].to(self.up[_key(path)]) * scale


def _key(path: str) -> str:
    """Parameter names may not hold dots."""
    return path.replace(".", "/")
