# Arrays, associative arrays, expansions, regular expressions, here documents, subshells, jobs, traps and coprocesses.
set -u
state=7
random() { state=$(( (state * 1103515245 + 12345) % 2147483648 )); drawn=$(( (state >> 16) % $1 )); }
word() {
    local letters=abcdefgh length i
    random 12; length=$((drawn + 1)); drawn_word=
    for ((i = 0; i < length; i++)); do random 8; drawn_word+=${letters:drawn:1}; done
}

declare -A count
declare -a list
for ((i = 0; i < 4000; i++)); do
    word
    list+=("$drawn_word")
    count[$drawn_word]=$(( ${count[$drawn_word]:-0} + 1 ))
done
printf '%s\n' "${list[@]}" | sha256sum
for key in "${!count[@]}"; do echo "$key ${count[$key]}"; done | sort | sha256sum

quicksort() {
    (( $# < 2 )) && { printf '%s\n' "$@"; return; }
    local pivot=$1 low=() high=() item; shift
    for item; do if [[ $item < $pivot ]]; then low+=("$item"); else high+=("$item"); fi; done
    (( ${#low[@]} )) && quicksort "${low[@]}"
    printf '%s\n' "$pivot"
    (( ${#high[@]} )) && quicksort "${high[@]}"
}
quicksort "${list[@]:0:800}" | sha256sum

text=$(printf '%s ' "${list[@]}")
echo "${#text} ${text//a/AA}" | sha256sum
echo "${text^^}" | sha256sum
matches=0
for item in "${list[@]}"; do [[ $item =~ ^(ab|cd)(.*)([gh])$ ]] && matches=$((matches + ${#BASH_REMATCH[2]})); done
echo "matches $matches"

long=x
for ((i = 0; i < 20; i++)); do long+=$long; done
echo "long ${#long}"

total=0
while IFS=' ' read -r first rest; do total=$((total + ${#first} + ${#rest})); done < <(printf '%s %s\n' "${list[@]}")
echo "read $total"

for ((i = 1; i <= 150; i++)); do
    value=$( (word; echo "$drawn_word$i") | tr a-h A-H)
    total=$((total + ${#value}))
done
echo "subshells $total"

pids=()
for ((i = 0; i < 8; i++)); do ( for ((k = 0; k < 300; k++)); do word; done; exit $((i * 3)) ) & pids+=($!); done
for pid in "${pids[@]}"; do wait "$pid"; echo "job $?"; done

coproc upper { while read -r line; do echo "${line^^}"; done; }
upper_process=$upper_PID
for item in "${list[@]:0:50}"; do echo "$item" >&"${upper[1]}"; read -r answer <&"${upper[0]}"; echo -n "$answer "; done
echo
eval "exec ${upper[1]}>&-"
wait "$upper_process"

signals=0
trap 'signals=$((signals + 1)); word' USR1
for ((i = 0; i < 200; i++)); do kill -USR1 $$; word; done
echo "signals $signals"

cat <<END | sha256sum
$(for item in "${list[@]:0:500}"; do printf '%-14s|%5d\n' "$item" "${#item}"; done)
END
mapfile -t lines < <(seq 1 20000)
unset 'lines[5]'
echo "${#lines[@]} ${lines[-1]} ${lines[*]:100:5}"
trap 'echo "end"' EXIT
