# store.sh - `scripts/bench store`: the figures that store and forward is held to, on the disk that $dir lies on. Sourced by
# scripts/bench, with lib.sh and broker.sh.
#
# Payloads are 120 bytes. The sensors are `load`; the cloud is mosquitto on loopback, which only has to take what comes.
# Where a figure is a share of something else, both are measured in turn, several times, and the medians are compared.
# shellcheck shell=bash disable=SC2034,SC2154 # what they share is set in scripts/bench and in each other

pid_c='' rate='' cpu=''
cloud_port=$(free_port 25883)
# shellcheck disable=SC2016 # for the gateway to fill in
topic_rule='{ "name": "up", "sql": "SELECT * FROM '"'bench/#'"'", "to": [ { "cloud": "up/${topic}" } ] }'

write_gateway() { # write_gateway [CLOUD-LIMITS]: without limits there is no cloud
    local cloud=''
    [ $# -eq 0 ] || cloud='"cloud": { "type": "mqtt", "endpoint": "127.0.0.1", "port": '$cloud_port', "client_id": "bench",
        "reconnect": { "min": "100ms", "max": "200ms" }, "limits": { '$1' } },'
    cat >"$dir/sluice.json" <<END
{
  "gateway": { "id": "bench", "data_dir": "data" },
  "log": { "level": "warn" },
  "listeners": [ { "name": "bench", "protocol": "mqtt", "bind": "127.0.0.1", "port": $port_s } ],
  "access": { "anonymous": true },
  "broker": { "connect_rate": 100000, "receive_maximum": 65535 },
  "rules": [ $topic_rule ],
  "store": { "max_bytes": "4GiB" },
  $cloud
  "web": { "bind": "127.0.0.1", "port": $port_w, "anonymous": "read" }
}
END
}

write_cloud() {
    cat >"$dir/cloud.conf" <<END
listener $cloud_port 127.0.0.1
allow_anonymous true
persistence false
set_tcp_nodelay true
max_inflight_messages 0
max_queued_messages 0
log_type none
END
}
start_cloud() {
    mosquitto -c "$dir/cloud.conf" 2>"$dir/cloud.log" &
    pid_c=$!
    until listening "$cloud_port"; do kill -0 "$pid_c" || { cat "$dir/cloud.log" >&2; exit 1; }; done
}
stop_cloud() { stop "$pid_c"; pid_c=''; }

status() { # status NAME: a number of the store's, as the status page has it
    "$sluice" status --json -c "$dir/sluice.json" | sed 's/.*"store"://' | grep -o "\"$1\":[0-9]*" | head -1 | cut -d: -f2
}
cloud_state() { "$sluice" status -c "$dir/sluice.json" | awk '$1 == "cloud" { print $2; exit }'; }
until_says() { # until_says WORD...: the command prints it, within a minute
    local wanted=$1 end=$((SECONDS + 60))
    shift
    until [ "$("$@")" = "$wanted" ]; do
        [ "$SECONDS" -lt "$end" ] || { echo "bench: no \"$wanted\" within a minute from: $*" >&2; exit 1; }
        sleep 0.05
    done
}
written() { awk '$1 == "write_bytes:" { print $2 }' "/proc/$1/io"; } # what a process made the disk write
resident() { awk '$1 == "'"$1"':" { print $2 }' "/proc/$pid_s/status"; }
shown() { printf '%-52s %12s %12s\n' "$1" "$2" "${3:-}"; } # a figure without a bar
calc() { awk "BEGIN { printf \"%.$1f\", $2 }"; }

# ---- offline: how fast messages become safe, and what that writes ----

# The publishers have 200 messages under way: while one half is being committed the other gathers.
into_outbox() {
    local n=$((200000 / share)) rate group commits rows bytes
    write_gateway
    rm -f "$dir"/*.v
    for _ in $(seq "$rounds"); do
        start_sluice
        commits=$(status commits) rows=$(status rows_written) bytes=$(written "$pid_s")
        rate=$(measured flow --port "$port_s" --pid "$pid_s" --publishers 10 --window 20 --subscribers 0 --qos 1 --count "$n" | field per_second)
        rows=$(($(status rows_written) - rows))
        group=$(calc 0 "$rows / ($(status commits) - $commits)")
        echo "$rate" >>"$dir/rate.v"
        echo "$group" >>"$dir/group.v"
        calc 0 "($(written "$pid_s") - $bytes) / $rows" >>"$dir/bytes.v"; echo >>"$dir/bytes.v"
        calc 0 "$(status bytes_written_estimate) / $rows" >>"$dir/own.v"; echo >>"$dir/own.v"
        stop_all
        rm -rf "$dir/data"
        "$tools/store_plain" "$dir/plain.db" "$n" "$group" 120 >"$dir/plain.json"
        rm -f "$dir"/plain.db*
        field per_second <"$dir/plain.json" >>"$dir/plain.v"
        field bytes_each <"$dir/plain.json" >>"$dir/plain_bytes.v"
        ratio "$rate" "$(tail -1 "$dir/plain.v")" >>"$dir/ratio.v"; echo >>"$dir/ratio.v"
    done
    shown "into the outbox, QoS 1, messages/s" "$(median <"$dir/rate.v")" "$(median <"$dir/plain.v")"
    shown "  in groups of" "$(median <"$dir/group.v")" "$(median <"$dir/group.v")"
    plain "  share of plain SQLite" "$(median <"$dir/ratio.v")" 0.60 min 1
    plain "  bytes written for each (/proc/PID/io)" "$(median <"$dir/bytes.v")" 1000 max "$(median <"$dir/plain_bytes.v")"
    plain "  by the store's own counter" "$(median <"$dir/own.v")" 1000 max
}

# One transaction may be under way when a message comes: it waits for that and for its own. What else the machine makes the
# disk do is in both.
to_puback() {
    local n=$((10000 / share)) which
    write_gateway
    rm -f "$dir"/*.v
    for _ in $(seq "$rounds"); do
        start_sluice
        measured acks --port "$port_s" --pid "$pid_s" --publishers 10 --rate 1000 --count "$n" >"$dir/acks.json"
        stop_all
        rm -rf "$dir/data"
        "$tools/store_plain" "$dir/plain.db" "$((n / 2))" 5 120 >"$dir/plain.json"
        rm -f "$dir"/plain.db*
        for which in acks plain; do
            ms "$(field p50_us <"$dir/$which.json")" >>"$dir/$which.50.v"; echo >>"$dir/$which.50.v"
            ms "$(field p99_us <"$dir/$which.json")" >>"$dir/$which.99.v"; echo >>"$dir/$which.99.v"
        done
        ratio "$(field p99_us <"$dir/acks.json")" "$(field p99_us <"$dir/plain.json")" >>"$dir/ratio.v"; echo >>"$dir/ratio.v"
    done
    shown "publish to PUBACK at 1,000/s, median, ms" "$(median <"$dir/acks.50.v")" "$(median <"$dir/plain.50.v")"
    shown "  p99, ms (beside: plain SQLite's transactions)" "$(median <"$dir/acks.99.v")" "$(median <"$dir/plain.99.v")"
    plain "  how many of those" "$(median <"$dir/ratio.v")" 3 max 1
}

# ---- back online ----

backlog() { # backlog COUNT: so many wait on disk, in a gateway that was stopped
    write_gateway
    start_sluice
    measured flow --port "$port_s" --pid "$pid_s" --publishers 10 --window 100 --subscribers 0 --qos 1 --count "$1" >/dev/null
    stop_all
}
arrivals() { # arrivals COUNT PORT: begins to count what arrives in the cloud; the result will be in arrivals.json
    : >"$dir/arrivals.json"
    "$tools/load" arrivals --port "$2" --pid $$ --publishers 1 --count "$1" >"$dir/arrivals.json" &
    pid_r=$!
    until grep -q subscribed "$dir/arrivals.json"; do kill -0 "$pid_r"; sleep 0.02; done
}
arrived() { # arrived SENDER: waits for all of them; leaves messages/s in $rate, and the sender's CPU time for each in $cpu
    local before
    before=$(awk '{ ns += $1 } END { print ns }' /proc/"$1"/task/*/schedstat)
    wait "$pid_r"
    pid_r=''
    rate=$(field per_second <"$dir/arrivals.json")
    cpu=$(awk -v b="$before" '{ ns += $1 } END { printf "%.2f", (ns - b) / 1000 / '"$(field arrived <"$dir/arrivals.json")"' }' /proc/"$1"/task/*/schedstat)
}

drain_limited() {
    local n=$((20000 / share))
    backlog "$n"
    write_gateway '"publishes_per_second": 1000, "in_flight": 100'
    write_cloud
    start_cloud
    arrivals "$n" "$cloud_port"
    start_sluice
    arrived "$pid_s"
    stop_all
    stop_cloud
    rm -rf "$dir/data"
    plain "draining with a limit of 1,000/s, messages/s" "$rate" 980 min
    plain "  and not above it" "$rate" 1005 max
}

write_bridging_mosquitto() {
    cat >"$dir/mosquitto.conf" <<END
user $(id -un)
listener $port_m 127.0.0.1
allow_anonymous true
persistence true
persistence_location $dir/mosquitto/
set_tcp_nodelay true
max_inflight_messages 100
max_queued_messages 0
log_type none
connection cloud
address 127.0.0.1:$cloud_port
topic # out 1 "" up/
cleansession false
restart_timeout 1
END
}

drain_free() {
    local n=$((200000 / share)) s m
    write_cloud
    write_bridging_mosquitto
    rm -f "$dir"/*.v
    for _ in $(seq "$rounds"); do
        backlog "$n"
        write_gateway '"in_flight": 100'
        start_cloud
        arrivals "$n" "$cloud_port"
        start_sluice
        arrived "$pid_s"
        s=$rate
        echo "$cpu" >>"$dir/s_cpu.v"
        stop_all
        stop_cloud
        rm -rf "$dir/data"

        mkdir -p "$dir/mosquitto"
        start_mosquitto
        measured flow --port "$port_m" --pid "$pid_m" --publishers 10 --window 100 --subscribers 0 --qos 1 --count "$n" >/dev/null
        stop_all
        start_cloud
        arrivals "$n" "$cloud_port"
        start_mosquitto
        arrived "$pid_m"
        m=$rate
        echo "$cpu" >>"$dir/m_cpu.v"
        stop_all
        stop_cloud
        rm -rf "$dir/mosquitto"
        echo "$s" >>"$dir/s.v"; echo "$m" >>"$dir/m.v"
        ratio "$s" "$m" >>"$dir/ratio.v"; echo >>"$dir/ratio.v"
    done
    shown "draining without a limit, messages/s" "$(median <"$dir/s.v")" "$(median <"$dir/m.v")"
    plain "  share of Mosquitto's own bridge" "$(median <"$dir/ratio.v")" 1.00 min 1
    plain "  CPU for each, us" "$(median <"$dir/s_cpu.v")" "$(median <"$dir/m_cpu.v")" max "$(median <"$dir/m_cpu.v")"
}

# ---- online: a day's writes ----

# A day of ten messages a second, in a hurry: what is written for messages; and then a quiet minute, which is what is
# written as time passes.
a_day() {
    local n=$((864000 / share)) quiet=$((60 / share)) before rows messages time
    write_gateway '"in_flight": 1000'
    write_cloud
    start_cloud
    start_sluice
    until_says online cloud_state
    sleep 2 # what the start had to write
    before=$(written "$pid_s") rows=$(status rows_written)
    measured flow --port "$port_s" --pid "$pid_s" --publishers 10 --window 100 --subscribers 0 --qos 1 --count "$n" >/dev/null
    until_says 0 status messages
    sleep 2
    rows=$(($(status rows_written) - rows))
    messages=$(($(written "$pid_s") - before))
    before=$(written "$pid_s")
    sleep "$quiet"
    time=$(($(written "$pid_s") - before))
    stop_all
    stop_cloud
    rm -rf "$dir/data"
    plain "online: rows written for $n messages" "$rows" 0 max
    plain "  kB a day at ten messages/s" "$(calc 0 "($messages * $share + $time * 1440 * $share) / 1000")" 1000 max
}

# ---- a long outage ----

millions() {
    local n=$((5000000 / share)) i
    mkdir -p "$dir/data"
    "$tools/store_fill" "$dir/data/queue.db" "$n"
    write_gateway
    rm -f "$dir"/*.v
    for i in 1 2 3 4 5; do
        start_sluice
        echo "$started_us" >>"$dir/start.v"
        until_says "$n" status messages
        [ "$i" -eq 5 ] || stop_all
    done
    plain "start to listening with $n waiting, ms" "$(ms "$(median <"$dir/start.v")")" 1000 max
    plain "  resident, KiB" "$(resident VmRSS)" 20480 max
    stop_all
    write_gateway '"in_flight": 100'
    write_cloud
    start_cloud
    start_sluice
    until_says online cloud_state
    sleep $((10 / share))
    plain "  resident at most while they drain, KiB" "$(resident VmHWM)" 20480 max
    stop_all
    stop_cloud
    rm -rf "$dir/data"
}

bench_store() {
    printf '%-52s %12s %12s %8s\n' "" sluice "compared to" bar
    into_outbox
    to_puback
    drain_limited
    drain_free
    a_day
    millions
    if [ "$missed" -gt 0 ]; then
        echo "bench: $missed missed" >&2
        return 1
    fi
}
