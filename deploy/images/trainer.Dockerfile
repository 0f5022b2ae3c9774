# For `penchant train sequence` and `penchant encoder finetune`: with torch, for a job that ends, never beside a worker.
#   docker build -f deploy/images/trainer.Dockerfile -t penchant-trainer:0.2.0 .
# torch is taken as the extra `train` asks for it: this repository locks what serves, not what trains, so no hashes here.
FROM python:3.13-slim-bookworm
WORKDIR /source
COPY deploy/lock/ deploy/lock/
COPY pyproject.toml README.md LICENSE ./
COPY stream/ stream/
COPY models/ models/
RUN apt-get update && apt-get install -y --no-install-recommends tini && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home penchant && install -d -o 10001 -g 10001 /data \
    && python3 -m venv /opt/penchant \
    && /opt/penchant/bin/pip install --no-cache-dir --constraint deploy/lock/serve.txt ".[encoder-cpu,train]"
ENV PATH=/opt/penchant/bin:$PATH PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /data
VOLUME /data
ENTRYPOINT ["tini", "--", "penchant"]
CMD ["train", "--help"]
