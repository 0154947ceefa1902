# broker.sh - `scripts/bench broker`: every figure that the broker is held to, beside Mosquitto. Sourced by scripts/bench.
#
# Loads. With QoS 1 and 2 a publisher has --window messages under way, as a client library has; with QoS 0 it has as many
# that have not arrived, since without that somebody must drop. The windows are the smallest of 2, 5, 10, 20 at which a relay
# without any MQTT logic (--floor prints it) is clearly under the bar: small windows leave little to gather in one system
# call, which is the harder test. --window N asks for another one.
#
# QoS 2 to one subscriber takes ten times as many messages as it would need for Sluice. Mosquitto stands still there, on the
# average once in 150,000 messages and for 5 to 15 seconds: 20 us a message without that, 48 us with it (1.4 million
# messages). Shorter runs meet none or two, and their ratio is a matter of luck.
# shellcheck shell=bash disable=SC2034,SC2154 # what they share is set in scripts/bench and in each other

# The load generator; again when it was held up itself, which is no measurement of anybody.
measured() {
    local status
    for _ in 1 2 3 4 5 6; do
        status=0
        "$tools/load" "$@" && return || status=$?
        [ "$status" -eq 4 ] || break
    done
    return "$status"
}

flow() { # flow LABEL BAR WINDOW COUNT OPTIONS...: one scenario, alternating; the median of the rounds' ratios
    local label=$1 bar=$2 window=${window_all:-$3} count=$(($4 / share)) who k out
    shift 4
    rm -f "$dir"/*.v
    for _ in $(seq "$rounds"); do
        for who in s m ${floor:+r}; do
            case $who in
            s) k="--port $port_s --pid $pid_s" ;;
            m) k="--port $port_m --pid $pid_m" ;;
            r) k="--port $port_r --pid $pid_r"; case " $* " in *" --pairs "*) k="--port $port_rp --pid $pid_rp" ;; esac ;;
            esac
            # shellcheck disable=SC2086 # several words on purpose
            if ! out=$(measured flow $k --count "$count" --window "$window" "$@"); then
                echo "$label: $who: not everything was delivered" >&2
                incomplete=$((incomplete + 1))
                continue 2
            fi
            for k in cpu_us per_second own_share p50_us p99_us p999_us; do
                echo "$out" | field $k >>"$dir/$k.$who.v"
            done
        done
        ratio "$(tail -1 "$dir/cpu_us.s.v")" "$(tail -1 "$dir/cpu_us.m.v")" >>"$dir/ratio.v"; echo >>"$dir/ratio.v"
        ratio "$(tail -1 "$dir/per_second.s.v")" "$(tail -1 "$dir/per_second.m.v")" >>"$dir/rate.v"; echo >>"$dir/rate.v"
        [ -z "$floor" ] || { ratio "$(tail -1 "$dir/cpu_us.r.v")" "$(tail -1 "$dir/cpu_us.m.v")" >>"$dir/floor.v"; echo >>"$dir/floor.v"; }
    done
    if [ ! -f "$dir/ratio.v" ]; then
        missed=$((missed + 1))
        printf '%-44s %s\n' "$label" "FAILED: incomplete"
        return
    fi
    local r
    m() { median <"$dir/$1.v"; }
    r=$(m ratio)
    judge "$r" "$bar" max
    printf '%-44s %8.2f %8.2f %6.2f %6s %-6s' "$label" "$(m cpu_us.s)" "$(m cpu_us.m)" "$r" "$bar" "$verdict"
    [ -z "$floor" ] || printf ' %8.2f %6.2f' "$(m cpu_us.r)" "$(m floor)"
    printf '\n%-44s %8.0f %8.0f %6.2f   own share %s, %s\n' "  messages/s" "$(m per_second.s)" "$(m per_second.m)" \
        "$(m rate)" "$(m own_share.s)" "$(m own_share.m)"
    printf '%-44s %s  %s\n' "  latency p50/p99/p99.9, us" "$(m p50_us.s)/$(m p99_us.s)/$(m p999_us.s)" \
        "$(m p50_us.m)/$(m p99_us.m)/$(m p999_us.m)"
}

flows() {
    printf '%-44s %8s %8s %6s %6s %-6s' "CPU, us per delivered message" sluice mosq. ratio bar ""
    [ -z "$floor" ] || printf ' %8s %6s' relay ratio
    printf '\n'
    flow "100 publishers to 1 subscriber, QoS 0" 0.37 2 200000 --publishers 100 --qos 0
    flow "the same, QoS 1" 0.18 5 100000 --publishers 100 --qos 1
    flow "the same, QoS 2" 0.04 20 800000 --publishers 100 --qos 2 # long: see the comment above
    flow "1 publisher to 100 subscribers, QoS 0" 0.12 20 8000 --subscribers 100 --qos 0
    flow "the same, QoS 1" 0.13 20 8000 --subscribers 100 --qos 1
    flow "100 pairs, QoS 0" 0.47 2 100000 --publishers 100 --subscribers 100 --pairs --qos 0
    flow "the same, QoS 1" 0.19 5 80000 --publishers 100 --subscribers 100 --pairs --qos 1
    flow "the same, QoS 2" 0.14 10 60000 --publishers 100 --subscribers 100 --pairs --qos 2
    flow "1,000 sensors, 20,000/s, QoS 1, spread" 0.80 20 60000 --publishers 1000 --qos 1 --rate 20000
    flow "the same, in bursts every 10 ms" 0.50 20 60000 --publishers 1000 --qos 1 --rate 20000 --burst-ms 10
    flow "QoS 1 with nobody subscribed" 0.39 2 100000 --publishers 100 --subscribers 0 --qos 1
}

plain() { # plain LABEL FIGURE BAR max|min [MOSQUITTO]: a figure of Sluice's own
    judge "$2" "$3" "$4"
    printf '%-52s %12s %12s %8s %-6s\n' "$1" "$2" "${5:-}" "$3" "$verdict"
}

starts() {
    local s m
    rm -f "$dir"/*.v
    for _ in $(seq $((5 * rounds))); do # short, so noisy: more of them
        start_sluice; echo "$started_us" >>"$dir/start.s.v"; stop "$pid_s"
        start_mosquitto; echo "$started_us" >>"$dir/start.m.v"; stop "$pid_m"
    done
    s=$(ms "$(median <"$dir/start.s.v")") m=$(ms "$(median <"$dir/start.m.v")")
    plain "start to listening, ms" "$s" 20 max "$m"
}

# Fresh brokers for each: memory that a run before has freed hides what the next one needs.
memory() { # memory LABEL BAR FIELD COUNT [OPTION]
    local label=$1 bar=$2 which=$3 s m
    shift 3
    start_sluice; start_mosquitto
    s=$("$tools/load" idle --port "$port_s" --pid "$pid_s" --count "$@" | field "$which")
    m=$("$tools/load" idle --port "$port_m" --pid "$pid_m" --count "$@" | field "$which")
    stop_all
    plain "$label" "$s" "$bar" max "$m"
}

kept() {
    local s m
    start_sluice; start_mosquitto
    s=$("$tools/load" retained --port "$port_s" --pid "$pid_s" --count 100000 --window 1000 --qos 0 | field per_second) || s=0
    m=$("$tools/load" retained --port "$port_m" --pid "$pid_m" --count 100000 --window 30 --qos 0 | field per_second) || m=0
    stop_all
    plain "100,000 retained to a late subscriber, messages/s" "${s:-0}" 300000 min "${m:-0}"
}

# Accepted, the process killed, started again, drained.
away() {
    local accepted drained
    write_sluice true
    start_sluice
    accepted=$("$tools/load" queue --port "$port_s" --pid "$pid_s" --count 100000 --window 1000 | field accepted) || accepted=0
    stop "$pid_s" -KILL
    start_sluice
    drained=$("$tools/load" drain --port "$port_s" --pid "$pid_s" --count 100000 | field per_second) || drained=0
    stop_all
    rm -rf "$dir/data"
    write_sluice false
    plain "100,000 for an offline session: acknowledged" "${accepted:-0}" 100000 min
    plain "  drained after kill -9, messages/s" "${drained:-0}" 200000 min
}

# The same publishes with and without 100,000 subscriptions that lie on their way; alternating.
wild() { # wild LABEL OPTIONS...
    local label=$1 r with without
    shift
    rm -f "$dir"/*.v
    start_sluice
    for _ in $(seq $((2 * rounds + 1))); do
        without=$("$tools/load" flow --port "$port_s" --pid "$pid_s" --publishers 10 --qos 1 --count $((200000 / share)) "$@" | field cpu_us)
        with=$("$tools/load" flow --port "$port_s" --pid "$pid_s" --publishers 10 --qos 1 --count $((200000 / share)) --wild 100000 "$@" | field cpu_us)
        ratio "$with" "$without" >>"$dir/wild.v"; echo >>"$dir/wild.v"
    done
    stop_all
    r=$(median <"$dir/wild.v")
    plain "$label" "$r" 1.1 max
}

bench_broker() {
    incomplete=0
    write_sluice false; write_mosquitto
    printf '%-52s %12s %12s %8s\n' "" sluice mosquitto bar
    starts
    memory "resident memory, idle, KiB" 5000 rss_kib 0
    memory "each of 10,000 idle connections, bytes" 1000 each_bytes 10000
    memory "  with one subscription each" 2000 each_bytes 10000 --subscribe
    kept
    away
    wild "publish beside 100,000 wildcard subscriptions, ratio"
    wild "  10,000 topics in turn" --topics 10000
    echo
    start_sluice; start_mosquitto
    [ -z "$floor" ] || start_relays
    flows
    stop_all
    if [ "$missed" -gt 0 ] || [ "$incomplete" -gt 0 ]; then
        echo "bench: $missed missed, $incomplete runs incomplete" >&2
        return 1
    fi
}
