# cases-lib.sh - for scripts that run in the guest: simulated lines, and a program to watch.
#
# watch PROGRAM ARGS... starts it (without the descriptors 3 to 5, which are the script's); its output
# is read in order by `expect`, so each case names what must come next and nothing is waited for twice.
# Few processes are started: under QEMU each costs tens of milliseconds.
# shellcheck shell=sh disable=SC1091,SC2034,SC2086,SC2154 # one script in two files; no word here has a space in it

failures=0
show= # files to print at the end when something failed, besides the watched program's output
current=start
case_() { current=$*; echo "case: $*"; }
fail() { echo "FAILED: $current: $*"; failures=$((failures + 1)); }

# pull LINE up|down [FOLDER]: what the world does to a line. value LINE [FOLDER]: its physical level.
pull() { echo "pull-$2" >"${3:-$SIM_BOARD}/sim_gpio$1/pull"; }
value() { read -r v <"${2:-$SIM_BOARD}/sim_gpio$1/value"; echo "$v"; }
want_value() {
    read -r v <"${3:-$SIM_BOARD}/sim_gpio$1/value"
    [ "$v" = "$2" ] || fail "line $1 is $v, not $2"
}

# Simulated interrupts come with the guest's 10 ms tick; closer changes may merge into one.
settle() { sleep "${1:-0.03}"; }

watch() {
    : >/run/out
    mkfifo /run/in
    exec 3</run/out 4<>/run/in
    "$@" </run/in >/run/out 2>&1 3<&- 4<&- 5<&- &
    watched=$!
}
tell() { echo "$*" >&4; }

# expect PATTERN [SECONDS]: reads on until a line fits the pattern (of sh), default 5 s; sets $line.
# It fails when the line does not come in time.
expect() {
    left=$((${2:-5} * 50))
    while [ $left -gt 0 ]; do
        while read -r line <&3; do
            # shellcheck disable=SC2254 # a pattern, as it says
            case $line in $1) return 0 ;; esac
        done
        left=$((left - 1))
        sleep 0.02
    done
    fail "no line like: $1"
    return 1
}

# want_count PATTERN N: of the lines that are there and not yet read, N fit; reads them all.
want_count() {
    n=0
    while read -r line <&3; do
        # shellcheck disable=SC2254
        case $line in $1) n=$((n + 1)) ;; esac
    done
    [ $n = "$2" ] || fail "$n lines like $1, not $2"
}

verdict() {
    if [ $failures -gt 0 ]; then
        for file in /run/out ${show:-}; do
            echo "--- $file:"
            cat "$file"
        done
        echo "$failures failed"
        exit 1
    fi
    echo "all passed"
    exit 0
}
