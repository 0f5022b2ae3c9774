#!/usr/bin/env bash
# One local Apache Kafka node (KRaft) from Maven Central's jars, for development and tests. Needs Java 17+ and, once, Maven.
#
#   run.sh run    [DATA_DIR] [PORT] [CONTROLLER_PORT]   in the foreground, until Ctrl-C
#   run.sh start  [DATA_DIR] [PORT] [CONTROLLER_PORT]   in the background; returns when it answers
#   run.sh stop   [DATA_DIR]                            returns when it has stopped; the data stay
#   run.sh status [DATA_DIR]                            exit code 0: running, 1: not running
#
# DATA_DIR is .kafka in the repository's root, PORT 9092 and CONTROLLER_PORT the one after PORT unless they are given.
# KAFKA_LIBS: where the jars are kept, shared by all brokers of this user. KAFKA_HEAP_OPTS: the JVM's memory.
# (Neither name starts with PENCHANT_: Penchant refuses to start on a PENCHANT_ variable that is no setting of its own.)
# Exit codes: 0 done, 1 failed, 2 wrong usage, 3 Java, Maven or the jars are missing.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kafka_version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$here/pom.xml")
libs=${KAFKA_LIBS:-${XDG_CACHE_HOME:-$HOME/.cache}/penchant/kafka-$kafka_version}
heap=${KAFKA_HEAP_OPTS:--Xmx512m}
readonly here kafka_version libs heap
readonly start_timeout_s=60 stop_timeout_s=30 free_timeout_s=2

fail() { # EXIT_CODE MESSAGE
  echo "kafka: $2" >&2
  exit "$1"
}

usage() { # the comment at the top
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
}

require_java() {
  local version
  # macOS has a `java` that is only a pointer to a download, so ask it for its version.
  version=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1) || true
  [ -n "$version" ] || fail 3 "java is missing. Fix: install a Java 17 (or newer) runtime and put java on PATH."
  [ "$version" -ge 17 ] || fail 3 "java is version $version, Apache Kafka $kafka_version needs 17. Fix: put a newer java on PATH."
}

require_jars() {
  [ -d "$libs" ] && return
  command -v mvn > /dev/null ||
    fail 3 "mvn is missing and $libs has no jars yet. Fix: install Maven, or set KAFKA_LIBS to a directory with the jars."
  mkdir -p "$(dirname "$libs")"
  local fresh
  fresh=$(mktemp -d "$libs.XXXXXX")
  echo "kafka: fetching Apache Kafka $kafka_version (about 60 MB, once) into $libs" >&2
  if ! mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies "-DoutputDirectory=$fresh" > "$fresh/mvn.log" 2>&1; then
    tail -n 5 "$fresh/mvn.log" >&2
    rm -rf "$fresh"
    fail 3 "Maven could not fetch the jars. Fix: connect to the network, or configure a mirror in Maven's settings.xml."
  fi
  chmod 755 "$fresh"
  # A directory appears whole or not at all, whoever else is fetching; the loser of that race lands inside the winner's.
  rm -f "$fresh/mvn.log"
  mv "$fresh" "$libs" 2> /dev/null || true
  rm -rf "$fresh" "$libs/$(basename "$fresh")"
}

java_kafka() { # MAIN_CLASS ARGUMENT...; replaces the (sub)shell
  # shellcheck disable=SC2086  # KAFKA_HEAP_OPTS is a list of options
  exec java $heap -XX:+UseSerialGC -cp "$libs/*" "-Dlog4j2.configurationFile=$here/log4j2.properties" "$@"
}

is_alive() { # PID; a zombie, as in a container whose first process reaps none, is dead
  local state
  state=$(ps -o stat= -p "$1" 2> /dev/null) || return 1
  case $state in Z* | '') return 1 ;; esac
}

running_pid() { # prints the pid of the broker of $dir, or returns 1; a pid that now belongs to another program is not it
  local pid
  pid=$(cat "$dir/pid" 2> /dev/null) && [ -n "$pid" ] && is_alive "$pid" || return 1
  case $(ps -o args= -ww -p "$pid") in
    *kafka.Kafka*"$dir/server.properties"*) echo "$pid" ;;
    *) return 1 ;;
  esac
}

address() {
  sed -n 's#^advertised.listeners=PLAINTEXT://##p' "$dir/server.properties"
}

is_taken() { # PORT
  (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null
}

stays_taken() { # PORT; a process that is ending holds its ports for a moment after it is counted as dead
  local waited
  for ((waited = 0; waited < free_timeout_s * 10; waited++)); do
    is_taken "$1" || return 1
    sleep 0.1
  done
}

launch() { # PORT CONTROLLER_PORT; leaves its pid in $pid and returns when requests are answered; a signal stops it again
  local port=$1 controller_port=$2 chosen data
  if pid=$(running_pid); then
    fail 1 "already running at $(address) (pid $pid). Fix: stop it first: $0 stop $dir"
  fi
  require_java
  require_jars
  for chosen in "$port" "$controller_port"; do
    ! stays_taken "$chosen" || fail 1 "port $chosen is taken. Fix: choose others: $0 $command $dir PORT CONTROLLER_PORT"
  done
  data=$(printf '%s' "$dir/data" | sed 's/[#&\\]/\\&/g') # what sed would take for its own in a path
  sed -e "s#@PORT@#$port#" -e "s#@CONTROLLER_PORT@#$controller_port#" -e "s#@DATA_DIR@#$data#" \
    "$here/server.properties" > "$dir/server.properties"
  printf '%s\n' "${KAFKA_PROPERTIES:-}" >> "$dir/server.properties" # further lines, such as an authorizer's
  if [ ! -f "$dir/data/meta.properties" ]; then
    local cluster_id
    cluster_id=$(head -c 16 /dev/urandom | base64 | tr '+/' 'AB' | tr -d '=\n')
    (java_kafka kafka.tools.StorageTool format -t "$cluster_id" -c "$dir/server.properties") > "$dir/format.log" 2>&1 ||
      fail 1 "could not prepare $dir/data. Fix: see $dir/format.log"
  fi
  # Emptied here and not by the background job, which may do so only after the last start's "started" was read below.
  : > "$dir/kafka.log"
  # The broker outlives this shell, and Ctrl-C in the foreground mode reaches only the script, which stops it in order.
  (trap '' HUP && java_kafka kafka.Kafka "$dir/server.properties") < /dev/null >> "$dir/kafka.log" 2>&1 &
  pid=$!
  trap 'echo; echo "kafka: stopping"; end_process "$pid"; exit 0' INT TERM HUP
  echo "$pid" > "$dir/pid"
  local waited
  for ((waited = 0; waited < start_timeout_s * 10; waited++)); do
    if grep -q 'Kafka Server started' "$dir/kafka.log"; then return; fi
    is_alive "$pid" || break
    sleep 0.1
  done
  tail -n 5 "$dir/kafka.log" >&2
  end_process "$pid"
  fail 1 "the broker did not start. Fix: see $dir/kafka.log"
}

end_process() { # PID
  local waited
  kill "$1" 2> /dev/null || true
  for ((waited = 0; waited < stop_timeout_s * 10; waited++)); do
    is_alive "$1" || break
    sleep 0.1
  done
  if is_alive "$1"; then
    echo "kafka: did not stop within $stop_timeout_s s; killed" >&2
    kill -KILL "$1" 2> /dev/null || true
  fi
  rm -f "$dir/pid"
}

in_foreground() {
  launch "$@"
  echo "Apache Kafka $kafka_version at $(address), data in $dir. Stop it with Ctrl-C."
  wait "$pid" || true
  rm -f "$dir/pid"
  fail 1 "the broker ended by itself. Fix: see $dir/kafka.log"
}

in_background() {
  launch "$@"
  trap - INT TERM HUP
  echo "Apache Kafka $kafka_version at $(address), data in $dir (pid $pid). Stop it with: $0 stop $dir"
}

stop() {
  local pid
  if ! pid=$(running_pid); then
    echo "kafka: not running in $dir"
    return
  fi
  end_process "$pid"
  echo "kafka: stopped; the data stay in $dir"
}

status() {
  local pid
  pid=$(running_pid) || { echo "kafka: not running in $dir"; return 1; }
  echo "kafka: running at $(address) (pid $pid, data in $dir)"
}

command=${1:-}
dir=${2:-$here/../../.kafka}
case $command in run | start) mkdir -p "$dir" ;; esac
[ ! -d "$dir" ] || dir=$(cd "$dir" && pwd -P) # one spelling, because running_pid looks for it in the process list
port=${3:-9092}
controller_port=${4:-$((port + 1))}
case $command in
  run) in_foreground "$port" "$controller_port" ;;
  start) in_background "$port" "$controller_port" ;;
  stop) stop ;;
  status) status ;;
  -h | --help | help) usage ;;
  *)
    usage >&2
    exit 2
    ;;
esac
