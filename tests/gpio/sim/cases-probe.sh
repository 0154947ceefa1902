# cases-probe.sh - gpio.h against the kernel's simulator, through gpio_probe (SIM_PROBE).
# shellcheck shell=sh disable=SC1091,SC2034,SC2086,SC2154 # one script in two files; no word here has a space in it
. "${SIM_CASES%/*}/cases-lib.sh"

board=/dev/${SIM_BOARD##*/}
expander=/run/expander # a link, as udev makes them: a chip that comes back may get another number

case_ "a line held by another program"
mkfifo /run/hold
"$SIM_PROBE" other:$board:7:in </run/hold >/run/holder &
exec 5>/run/hold
until grep -q state /run/holder; do settle; done

pull 2 up
watch "$SIM_PROBE" door:$board:2:in bell:$board:1:in:debounce=500 low:$board:4:in:active-low:pull-up \
    led:$board:3:out lamp:$board:6:out:active-low:initial=1 taken:$board:5:in shared:$board:7:in \
    far:$expander:0:in relay:$expander:1:out:initial=1 missing:$board:8:in

case_ "initial states"
expect 'state door {"state":1,"ts":1*}'
expect 'state bell {"state":0,*'
case_ "active low and bias: pulled up, so not active"
expect 'state low {"state":0,*'
want_value 4 1
expect 'state led {"state":0,"blink":0,*'
expect 'state lamp {"state":1,"blink":0,*'
want_value 3 0
want_value 6 0
case_ "a line that the kernel holds"
expect 'fault taken line 5 of '$board' is held by "kernel"'
case_ "a line held by another program"
expect 'fault shared line 7 of '$board' is held by "sluice"'
case_ "a chip that is not there"
expect "fault far $expander: No such file or directory"
expect "fault relay $expander: No such file or directory"
case_ "a line that the chip does not have"
expect 'fault missing '$board' has 8 lines, there is no line 8'

case_ "edges"
pull 2 down; expect 'state door {"state":0,*'
settle; pull 2 up; expect 'state door {"state":1,*'
for i in 1 2 3 4 5; do settle; pull 2 down; settle; pull 2 up; done
settle 0.2
want_count 'state door *' 10

case_ "edges of an active-low line"
pull 4 down; expect 'state low {"state":1,*'
settle; pull 4 up; expect 'state low {"state":0,*'

# Half a second, since on a busy machine the 20 ms between two changes may become 200.
case_ "a burst gives one debounced change"
for to in up down up down up; do pull 1 $to; settle 0.02; done
expect 'state bell {"state":1,*'
settle 0.8
want_count 'state bell *' 0
case_ "a burst that ends where it began gives none"
for to in down up down up; do pull 1 $to; settle 0.02; done
settle 0.8
want_count 'state bell *' 0

case_ "output on, off, toggle"
tell led on; expect 'state led {"state":1,"blink":0,*'; want_value 3 1
tell led '{"state":0}'; expect 'state led {"state":0,*'; want_value 3 0
tell led toggle; expect 'state led {"state":1,*'; want_value 3 1
tell led 0; expect 'state led {"state":0,*'; want_value 3 0
case_ "active-low output"
tell lamp off; expect 'state lamp {"state":0,*'; want_value 6 1
tell lamp on; expect 'state lamp {"state":1,*'; want_value 6 0

case_ "blink"
tell led '{"blink":2}'; expect 'state led {"state":1,"blink":2,*'
changes=0 before=$(value 3)
i=0
while [ $i -lt 50 ]; do
    read -r now <"$SIM_BOARD/sim_gpio3/value"
    [ "$now" = "$before" ] || changes=$((changes + 1))
    before=$now i=$((i + 1))
    settle 0.04
done
[ $changes -ge 5 ] || fail "only $changes changes in two seconds at 2 Hz"
want_count 'state led *' 0
tell led '{"blink":0}'; expect 'state led {"state":0,"blink":0,*'; want_value 3 0
settle 0.6; want_value 3 0

case_ "pulse"
tell led '{"pulse":"400ms"}'; expect 'state led {"state":1,"blink":0,*'; want_value 3 1
expect 'state led {"state":0,"blink":0,*'; want_value 3 0

case_ "refused commands"
tell led 2; expect 'refused led invalid *accepted are*'
tell led '{"blink":60}'; expect 'refused led invalid *0.05..50 Hz*'
tell door 1; expect 'refused door not*'
tell taken 1; expect 'refused taken not*'
tell relay 1; expect 'refused relay *not available: *No such file*'
want_value 3 0

case_ "the other program lets go"
exec 5>&-
expect 'clear shared' 8
expect 'state shared {"state":0,*'
pull 7 up; expect 'state shared {"state":1,*'

plug() {
    echo 1 >$SIM_CONFIG/expander/live
    read -r device <$SIM_CONFIG/expander/dev_name
    read -r name <$SIM_CONFIG/expander/bank0/chip_name
    far=/sys/devices/platform/$device/$name
    ln -s "/dev/$name" $expander
}
unplug() { rm $expander; echo 0 >$SIM_CONFIG/expander/live; }

case_ "a chip is plugged in"
plug
expect 'clear far' 8; expect 'state far {"state":0,*'
expect 'clear relay'; expect 'state relay {"state":1,*'
want_value 1 1 "$far"
pull 0 up "$far"; expect 'state far {"state":1,*'

case_ "and unplugged"
unplug
expect 'fault far *' 8; expect 'fault relay *' 8
tell relay 0; expect 'refused relay *not available: *'
case_ "the program does not spin then"
read -r stat </proc/$watched/stat; set -- $stat; used=$((${14} + ${15}))
sleep 2
read -r stat </proc/$watched/stat; set -- $stat; used=$((${14} + ${15} - used))
[ $used -lt 100 ] || fail "$used ticks of CPU time in two seconds"
case_ "other lines go on"
pull 2 down; expect 'state door {"state":0,*'

case_ "and plugged in again"
plug
expect 'clear far' 8; expect 'state far {"state":0,*'
expect 'clear relay' 8; expect 'state relay {"state":1,*'
pull 0 up "$far"; expect 'state far {"state":1,*'

case_ "the end"
exec 4<&- # the end of its input
expect 'closed gpio'
wait $watched || fail "exit status $?"
verdict
