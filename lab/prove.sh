#!/bin/sh
# Proves a lane in the lab, for `hornetos test -e lab` and CI:
#   prove.sh LANE PYTEST-ARGUMENT…
# Fails if a test fails, or if the lab can't be used. An emulated host that crashed twice, or that ran out of time on a
# busy machine, says nothing of the product: then the lane is named as not proved, and the step does not fail.
lane=$1
shift
pytest --lab --lane="$lane" "$@"
code=$?
case $code in
    0) echo "$lane: proved in the lab" ;;
    75) echo "$lane: NOT PROVED: the lab's emulated host crashed" ;;
    143) echo "$lane: NOT PROVED: the lab's time was over" ;;
    *) exit $code ;;
esac
