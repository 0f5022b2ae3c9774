# `penchant serve` with the explorer: the worker's image, another command and another question whether it is well.
ARG WORKER=penchant:0.2.0
FROM ${WORKER}
CMD ["serve"]
HEALTHCHECK --interval=10s --timeout=6s --retries=6 --start-period=120s CMD ["health.sh", "http://127.0.0.1:8780/health/live"]
