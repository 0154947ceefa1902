# lib.sh - for scripts/bench: two brokers side by side, medians, tables. Sourced; expects $sluice, $tools (where load and
# relay lie) and $dir, a folder that is its own.
# shellcheck shell=bash disable=SC2034,SC2154 # what they share is set in scripts/bench and in each other

pid_s='' pid_m='' pid_r='' pid_rp=''
stop() { if [ -n "$1" ] && kill "${2:--TERM}" "$1" 2>/dev/null; then wait "$1" 2>/dev/null || true; fi; }
stop_all() {
    stop "$pid_s"; stop "$pid_m"; stop "$pid_r"; stop "$pid_rp"
    pid_s='' pid_m='' pid_r='' pid_rp=''
}

free_port() { # below the range of outgoing connections
    local p=$1
    while (exec 3<>"/dev/tcp/127.0.0.1/$p") 2>/dev/null; do p=$((p + 1)); done
    echo "$p"
}
port_s=$(free_port 21883) port_m=$(free_port 22883) port_w=$(free_port 28080) port_r=$(free_port 23883) port_rp=$(free_port 24883)

# Both as a fair user would set them for this work: the same window, TCP_NODELAY, and queues that have no reason to drop.
write_sluice() { # write_sluice PERSISTENCE
    cat >"$dir/sluice.json" <<END
{
  "gateway": { "id": "bench", "data_dir": "data" },
  "log": { "level": "warn" },
  "listeners": [ { "name": "bench", "protocol": "mqtt", "bind": "127.0.0.1", "port": $port_s } ],
  "access": { "anonymous": true },
  "broker": { "connect_rate": 100000, "max_connections": 20000, "max_inflight": 32, "persistence": $1,
              "max_queued_messages": 1000000, "max_queued_bytes": "256MiB" },
  "web": { "bind": "127.0.0.1", "port": $port_w, "anonymous": "read" }
}
END
}
write_mosquitto() {
    cat >"$dir/mosquitto.conf" <<END
listener $port_m 127.0.0.1
allow_anonymous true
persistence false
set_tcp_nodelay true
max_inflight_messages 32
max_queued_messages 0
log_type none
END
}

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Starts a broker and waits until it listens; its pid is in pid_s or pid_m, the time it took in started_us.
start_sluice() {
    local begin=${EPOCHREALTIME/./}
    "$sluice" run -c "$dir/sluice.json" 2>"$dir/sluice.log" &
    pid_s=$!
    until listening "$port_s"; do kill -0 "$pid_s" || { cat "$dir/sluice.log" >&2; exit 1; }; done
    started_us=$((${EPOCHREALTIME/./} - begin))
}
start_mosquitto() {
    local begin=${EPOCHREALTIME/./}
    mosquitto -c "$dir/mosquitto.conf" 2>"$dir/mosquitto.log" &
    pid_m=$!
    until listening "$port_m"; do kill -0 "$pid_m" || { cat "$dir/mosquitto.log" >&2; exit 1; }; done
    started_us=$((${EPOCHREALTIME/./} - begin))
}
start_relays() {
    "$tools/relay" "$port_r" & pid_r=$!
    "$tools/relay" "$port_rp" pairs & pid_rp=$!
    until listening "$port_r" && listening "$port_rp"; do :; done
}

median() { sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
field() { sed -n "s/.*\"$1\":\(-\{0,1\}[0-9.]*\).*/\1/p"; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f", (b > 0 ? a / b : 0) }'; }
ms() { awk -v v="$1" 'BEGIN { printf "%.1f", v / 1000 }'; }

missed=0
judge() { # judge FIGURE BAR max|min: prints "ok" or "MISSED" and remembers
    if awk -v a="$1" -v b="$2" -v k="$3" 'BEGIN { exit !(k == "max" ? a <= b : a >= b) }'; then
        verdict=ok
    else
        verdict=MISSED
        missed=$((missed + 1))
    fi
}
