# The worker with the encoder on an NVIDIA GPU: onnxruntime-gpu 1.23 and later wants CUDA 12 and cuDNN 9, which this base has.
#   docker build -f deploy/images/worker-gpu.Dockerfile -t penchant:0.2.0-gpu .
FROM nvidia/cuda:12.8.1-cudnn-runtime-ubuntu24.04 AS made
ARG CPU_NAME=x86-64-v3
ARG CPU_FEATURES=+sse4.2,+popcnt,+cx16,+avx,+avx2,+fma,+bmi,+bmi2,+f16c,+lzcnt,+movbe
ENV NUMBA_CPU_NAME=${CPU_NAME} NUMBA_CPU_FEATURES=${CPU_FEATURES}
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY deploy/lock/ deploy/lock/
COPY deploy/images/steps/ deploy/images/steps/
COPY pyproject.toml README.md LICENSE ./
COPY stream/ stream/
COPY models/ models/
RUN deploy/images/steps/install.sh /opt/penchant . deploy/lock/serve.txt deploy/lock/encoder.txt deploy/lock/model.txt \
    && deploy/images/steps/gpu.sh /opt/penchant
RUN deploy/images/steps/bake.sh /opt/penchant fp16

FROM nvidia/cuda:12.8.1-cudnn-runtime-ubuntu24.04 AS worker
ARG CPU_NAME=x86-64-v3
ARG CPU_FEATURES=+sse4.2,+popcnt,+cx16,+avx,+avx2,+fma,+bmi,+bmi2,+f16c,+lzcnt,+movbe
RUN apt-get update && apt-get install -y --no-install-recommends python3 tini && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin penchant && install -d -o 10001 -g 10001 /data
COPY --from=made /opt/penchant /opt/penchant
COPY deploy/images/steps/entrypoint.sh deploy/images/steps/health.sh /usr/local/bin/
ENV NUMBA_CPU_NAME=${CPU_NAME} NUMBA_CPU_FEATURES=${CPU_FEATURES} \
    PENCHANT_ENCODER_CACHE_DIR=/opt/penchant/encoder PENCHANT_DATA_DIR=/data/worker PENCHANT_ENCODER_PROVIDER=cuda \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/opt/penchant/bin:$PATH
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 9464
ENTRYPOINT ["tini", "--", "entrypoint.sh"]
CMD ["worker"]
HEALTHCHECK --interval=10s --timeout=6s --retries=6 --start-period=120s CMD ["health.sh", "http://127.0.0.1:9464/healthz"]
