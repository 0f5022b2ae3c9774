#!/bin/sh
# Docker's HEALTHCHECK (Kubernetes has its own probes): health.sh URL
exec /opt/penchant/bin/python -c "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=5)" "$1"
