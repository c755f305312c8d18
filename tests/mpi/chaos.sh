#!/usr/bin/env bash
# chaos.sh [RUNS [SEED]] -- real processes, really killed.
#
# Each run trains with PROCESSES processes (8) under Open MPI while one to three of them, the first one too, are killed
# (SIGKILL) or stopped (SIGSTOP; some are continued, before or after they are given up) at random moments.  A run
# is right if it ends by itself in time, with exit code 0 and one result, which counts every example, the model that is
# saved is the one the result tells of, and its quality is that of undisturbed runs.
#
# A run that loses processes is one of PROCESSES at first and one of fewer later, of PROCESSES - 3 at the least, and
# quality depends a little on how many there are.  So it is compared with BASES (12) undisturbed runs of each number, each of
# another seed: it may be as far above the higher mean, or below the lower one, as four standard deviations of a run; of
# normal ones, one in 16,000 would be.
#
# Prints a line a run and, at the end, a table; exits with 1 if any run was not right.  A run's faults follow from its
# seed: `chaos.sh 1 SEED` does them again, though not to the microsecond.
#
#   ASGD=build/release/asgd  MPIRUN=scripts/asgd-mpirun  JOB=clicks|digits|both  PROCESSES=8  TIMEOUT=120  BASES=12
#   MNIST=FOLDER    its images instead of drawn digits
#   FOLDER=FOLDER   data and undisturbed runs are kept there, and taken from there where they are
#   EXCHANGE=auto|tcp|mpi   how processes talk
#   WRAP=COMMAND    begins each run, as `nice` would; it may wait
set -u
here=$(cd "$(dirname "$0")/../.." && pwd)
PROCESSES=${PROCESSES:-8}
runs=${1:-10} seed0=${2:-1}
BASES=${BASES:-12}
ROWS=400000 VALID_ROWS=100000 EPOCHS=3
# shellcheck source=tests/mpi/kills.inc
. "$here/tests/mpi/kills.inc"

launch() { # JOB PROCESSES OUTPUT
    local job=$1 processes=$2 output=$3
    # shellcheck disable=SC2086
    $WRAP timeout -k 5 "$TIMEOUT" "$MPIRUN" -n "$processes" "$ASGD" ${arguments[$job]} --workers 1 --seed "$seed" \
        --dead-after 3 --exchange "${EXCHANGE:-auto}" --json -o "$folder/model.safetensors" >"$output" 2>"$output.err"
}

ranks() { # the processes of this run, "PID RANK" a line
    local pid rank
    for pid in $(pgrep -f "^$ASGD train .*$folder/model"); do
        rank=$(tr '\0' '\n' 2>/dev/null <"/proc/$pid/environ" | sed -n 's/^OMPI_COMM_WORLD_RANK=//p')
        [[ -n $rank ]] && echo "$pid $rank"
    done
}

# What the saved model is worth, by itself.
evaluate() { # JOB
    local data=$folder/valid.ffm
    [[ $1 != digits ]] || data=${MNIST:-$folder/digits}
    $WRAP "$ASGD" eval "$folder/model.safetensors" --data "$data" --json --quiet >"$folder/eval.json" 2>/dev/null
    field "$folder/eval.json" "${metric[$1]}"
}

within() { # VALUE LOW HIGH MARGIN
    [[ -n $1 ]] && awk -v x="$1" -v a="$2" -v b="$3" -v m="$4" 'BEGIN { exit !(x >= a - m && x <= b + m) }'
}

good=0 bad=0
declare -A low=() high=() count=()
one_run() {
    local job=$1 output=$folder/run.json faults="" began
    rm -f "$folder/model.safetensors"
    launch "$job" "$PROCESSES" "$output" &
    local launcher=$! n i victims=()
    # WRAP may wait; once the first is there, the others have ten seconds
    for ((i = 0; i < 100 && ${#victims[@]} < PROCESSES; i += ${#victims[@]} > 0)); do
        sleep 0.1
        kill -0 "$launcher" 2>/dev/null || break
        mapfile -t victims < <(ranks)
    done
    began=$SECONDS
    n=$((1 + $(draw 3)))
    for ((i = 0; i < n && ${#victims[@]} > 1; i++)); do
        local which pid rank how
        sleep "$(draw 2).$(draw 10)"
        which=$(draw ${#victims[@]})
        read -r pid rank <<<"${victims[$which]}"
        how=$(draw 4)
        kill -0 "$pid" 2>/dev/null || break # the run is over
        case $how in
        0 | 1)
            kill -KILL "$pid"
            faults+=" kill:$rank"
            ;;
        2)
            kill -STOP "$pid"
            (sleep 1; kill -CONT "$pid" 2>/dev/null) &
            faults+=" stop:$rank"
            ;;
        3)
            kill -STOP "$pid"
            (sleep 8; kill -CONT "$pid" 2>/dev/null) &
            faults+=" stop-long:$rank"
            ;;
        esac
        unset "victims[$which]"
        victims=("${victims[@]}")
        count[$how]=$((${count[$how]:-0} + 1))
        ((rank > 0)) || count[first]=$((${count[first]:-0} + 1))
    done
    wait "$launcher"
    local code=$? value examples total lost results saved verdict=right also="" key
    value=$(field "$output" "${metric[$job]}")
    examples=$(field "$output" examples)
    total=$(field "$output" positions)
    lost=$(field "$output" lost)
    results=$(grep -o '"positions"' "$output" | wc -l)
    for key in repeated_examples lost_examples interventions undone_examples; do
        also+=", $key $(field "$output" "$key")"
    done
    saved=$(evaluate "$job")
    if ((code != 0)) || [[ -z $value ]]; then
        verdict="WRONG: exit code $code"
    elif ((results != 1)); then
        verdict="WRONG: $results results"
    elif ((examples + $(field "$output" lost_examples) < total)); then
        verdict="WRONG: $examples of $total examples are accounted for"
    elif ! within "$saved" "$value" "$value" 1e-4; then
        verdict="WRONG: the model that was saved has $saved"
    elif ! within "$value" "${low[$job]}" "${high[$job]}" 0; then
        verdict="WRONG: undisturbed ${low[$job]} to ${high[$job]}"
    fi
    printf '%s seed %d:%s: code %d, %d s, %s %s, left %s, examples %s%s: %s\n' "$job" "$seed" "$faults" "$code" \
        $((SECONDS - began)) "${metric[$job]}" "$value" "$((PROCESSES - ${lost:-0}))" "$examples" "$also" "$verdict"
    if [[ $verdict == right ]]; then good=$((good + 1)); else
        bad=$((bad + 1))
        grep -oE '"seconds": [0-9.]+' "$output" | head -n 1
        grep -oE '"exchange": \{[^}]*\}' "$output"
        sed 's/^/    /' "$output.err" | grep -v 'PMIX ERROR' | tail -n 40
    fi
    pkill -KILL -f "^$ASGD train .*$folder/model" 2>/dev/null
}

jobs=(clicks digits)
[[ $JOB == both ]] || jobs=("$JOB")
FEWEST=$((PROCESSES > 4 ? PROCESSES - 3 : 1)) # that are left of a run
for job in "${jobs[@]}"; do
    for n in "$PROCESSES" "$FEWEST"; do
        bases=$folder/$job-$n.bases
        touch "$bases"
        for ((i = $(wc -l <"$bases"); i < BASES; i++)); do
            seed=$((1000 + i))
            launch "$job" "$n" "$folder/base.json" || {
                echo "the undisturbed run of $job failed:"
                cat "$folder/base.json.err"
                exit 1
            }
            field "$folder/base.json" "${metric[$job]}" >>"$bases"
        done
    done
    read -r "low[$job]" "high[$job]" < <(awk '
        FNR == 1 { k++ }
        { n[k]++; a[k] += $1; b[k] += $1 * $1 }
        END {
            for (i = 1; i <= 2; i++) {
                m = a[i] / n[i]; v = n[i] > 1 ? (b[i] - n[i] * m * m) / (n[i] - 1) : 0; d = 4 * sqrt(v > 0 ? v : 0)
                if (i == 1 || m - d < low) low = m - d
                if (i == 1 || m + d > high) high = m + d
            }
            printf "%.5f %.5f\n", low, high
        }' "$folder/$job-$PROCESSES.bases" "$folder/$job-$FEWEST.bases")
    echo "$job, $BASES undisturbed of $PROCESSES and of $FEWEST: ${metric[$job]} ${low[$job]} to ${high[$job]}"
done
for ((run = 0; run < runs; run++)); do
    seed=$((seed0 + run)) drawn=0
    one_run "${jobs[$((run % ${#jobs[@]}))]}"
done
echo "kills $((${count[0]:-0} + ${count[1]:-0})), short stops ${count[2]:-0}, long stops ${count[3]:-0}," \
    "${count[first]:-0} of them of the first process"
echo "$good right, $bad wrong"
((bad == 0))
