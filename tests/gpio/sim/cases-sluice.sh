# cases-sluice.sh - the whole gateway (SIM_SLUICE) between simulated lines and MQTT clients.
# shellcheck shell=sh disable=SC1091,SC2034,SC2086,SC2154 # one script in two files; no word here has a space in it
. "${SIM_CASES%/*}/cases-lib.sh"

if ! command -v mosquitto_pub >/dev/null; then
    echo "gpio-sim: mosquitto_pub is not installed (package mosquitto-clients)"
    exit 77
fi
board=/dev/${SIM_BOARD##*/}
cat >/run/sluice.json <<END
{ "gateway": { "id": "sim", "data_dir": "/run/data" },
  "listeners": [ { "name": "local", "protocol": "mqtt", "bind": "127.0.0.1", "port": 1883 } ],
  "access": { "anonymous": true },
  "web": { "bind": "127.0.0.1", "port": 8080, "anonymous": "read" },
  "rules": [ { "name": "follow", "sql": "SELECT state FROM 'gpio/door'", "to": [ { "gpio": "lamp" } ] } ],
  "gpio": [
    { "name": "door", "chip": "$board", "line": 2, "direction": "in", "topic": "gpio/door" },
    { "name": "bell", "chip": "$board", "line": 4, "direction": "in", "active_low": true,
      "bias": "pull-up", "debounce": "500ms", "topic": "gpio/bell" },
    { "name": "led", "chip": "$board", "line": 3, "direction": "out", "initial": 1, "topic": "gpio/led" },
    { "name": "lamp", "chip": "$board", "line": 6, "direction": "out", "initial": 0, "topic": "gpio/lamp" },
    { "name": "taken", "chip": "$board", "line": 5, "direction": "in", "topic": "gpio/taken" },
    { "name": "far", "chip": "/run/expander", "line": 0, "direction": "in", "topic": "gpio/far" } ] }
END
show=/run/sluice.log

publish() { timeout 10 mosquitto_pub -t "$1" -m "$2" || fail "mosquitto_pub: exit status $?"; }
# until_ SECONDS COMMAND...: tried again until it succeeds.
until_() {
    tries=$(($1 * 20))
    shift
    while ! "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || { fail "not in time: $*"; return 1; }
        sleep 0.05
    done
}

case_ "the gateway starts although a line is taken and a chip is missing"
"$SIM_SLUICE" run -c /run/sluice.json 2>/run/sluice.log &
gateway=$!
until_ 20 timeout 5 mosquitto_pub -t test/up -m 1 || verdict
watch mosquitto_sub -v -t 'gpio/+' -F '%t %r %p'

case_ "states are retained"
# In the order in which the topics came to be: the order of the lines.
expect 'gpio/door 1 {"state":0,"ts":1*}'
expect 'gpio/bell 1 {"state":0,"ts":1*}'
expect 'gpio/led 1 {"state":1,"blink":0,"ts":1*}'
expect 'gpio/lamp 1 {"state":0,"blink":0,"ts":1*}'
want_value 3 1

case_ "edges, and a rule that leads to an output"
pull 2 up; expect 'gpio/door 0 {"state":1,*'; expect 'gpio/lamp 0 {"state":1,*'; want_value 6 1
pull 2 down; expect 'gpio/door 0 {"state":0,*'; expect 'gpio/lamp 0 {"state":0,*'; want_value 6 0

case_ "a bouncing, active-low input"
for to in down up down up down; do pull 4 $to; settle 0.02; done
expect 'gpio/bell 0 {"state":1,*'
settle 0.8
want_count 'gpio/bell *' 0

case_ "commands"
publish gpio/led/set off; expect 'gpio/led 0 {"state":0,"blink":0,*'; want_value 3 0
publish gpio/led/set '{"state":1}'; expect 'gpio/led 0 {"state":1,*'; want_value 3 1
publish gpio/led/set toggle; expect 'gpio/led 0 {"state":0,*'; want_value 3 0
publish gpio/led/set '{"blink":2.5}'; expect 'gpio/led 0 {"state":1,"blink":2.5,*'
publish gpio/led/set '{"blink":0}'; expect 'gpio/led 0 {"state":0,"blink":0,*'; want_value 3 0
publish gpio/led/set '{"pulse":"500ms"}'; expect 'gpio/led 0 {"state":1,*'; want_value 3 1
expect 'gpio/led 0 {"state":0,*'; want_value 3 0

case_ "payloads that are no commands change nothing"
publish gpio/led/set 2
publish gpio/led/set '{"blink":1e9}'
publish gpio/door/set 1
settle 0.3
want_count 'gpio/*' 0
want_value 3 0

case_ "faults are said"
until_ 5 grep -q 'taken.*held by' /run/sluice.log
until_ 5 grep -q 'far.*No such file' /run/sluice.log

case_ "a chip comes and goes"
echo 1 >$SIM_CONFIG/expander/live
read -r name <$SIM_CONFIG/expander/bank0/chip_name
ln -s "/dev/$name" /run/expander
expect 'gpio/far 0 {"state":0,*' 8
rm /run/expander
echo 0 >$SIM_CONFIG/expander/live
until_ 8 grep -q 'far.*No such device' /run/sluice.log
pull 2 up; expect 'gpio/door 0 {"state":1,*'

case_ "SIGTERM"
kill $gateway
wait $gateway || fail "exit status $?"
verdict
