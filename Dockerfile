# The studio and the HTTP API in a container:
#
#   docker build -t mild .
#   docker run --rm -p 8000:8000 -v mild-state:/state -e MILD_API_KEY=... mild
#
# Built from this repository; the finder's nets are fetched while it is built, so that it runs without a network.
FROM python:3.12-slim

# PatchMatch and OpenCV need these of the system, whatever their version.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libglib2.0-0 libgomp1 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/mild
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY src ./src
RUN pip install --no-cache-dir --constraint constraints.txt '.[server]'

# Nobody inside needs to be root, and the state is the only thing that is written.
RUN useradd --create-home --uid 10001 mild && mkdir /state && chown mild /state
USER 10001
ENV MILD_CACHE=/home/mild/cache
RUN python -m mild.models.assets

ENV MILD_OFFLINE=1 HF_HUB_OFFLINE=1
VOLUME /state
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health', timeout=5)"]
CMD ["mild", "serve", "--host", "0.0.0.0", "--port", "8000", "--state", "/state"]
