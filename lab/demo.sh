#!/bin/sh
# make demo: train small models on the sample captures, replay a capture that holds a port scan, a
# SYN flood and an application that training never saw, and show what weir finds. Everything it
# writes is below bin/demo.
#
#   lab/demo.sh          show it in the dashboard as it goes on, until stopped
#   lab/demo.sh --exit   the same, faster, and stop after the replay
set -eu
cd "$(dirname "$0")/.."
weir=bin/weir
out=bin/demo
rm -rf "$out"
mkdir -p "$out"
models="--models $out/models"

bold='' plain=''
if [ -t 1 ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); fi
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

say "1. Learn fourteen applications from labelled captures (samples/apps)"
$weir $models train apps --data samples/apps --epochs 8 --refit=false

say "2. Learn what is normal from ten minutes of ordinary traffic (samples/normal.pcapng.zst)"
$weir $models train anomaly -r samples/normal.pcapng.zst --window 1s

say "3. How good is the detector? The lab knows when it attacked"
$weir $models eval anomaly -r samples/demo.pcapng.zst --labels samples/demo.intervals.csv --report "$out/anomaly.html"

say "4. Replay another day: a port scan, a SYN flood, and MQTT, which training never saw (samples/demo.pcapng.zst)"
echo "The report with figures will be $out/report.html, the evaluation is $out/anomaly.html, the events are $out/events.jsonl"
run="run -r samples/demo.pcapng.zst --apps apps --anomaly anomaly -o $out/events.jsonl --report $out/report.html
  --store $out/history --http 127.0.0.1:0 --http-token $out/token"
if [ "${1-}" = --exit ]; then
  $weir $models $run --speed 60 --exit
else
  say "Open the link in a browser: four minutes pass in half of one, and Ctrl-C ends"
  $weir $models $run --speed 8
fi
