# Arrays, associative arrays and string expansion: work.bash ROUNDS. Prints a checksum.
total=0
for ((round = 0; round < $1; round++)); do
  declare -A seen=()
  words=()
  for ((i = 0; i < 6000; i++)); do
    word="w$((i * 7919 % 3001))x$((i % 17))"
    words+=("$word")
    seen[$word]+="$i,"
  done
  for word in "${words[@]}"; do
    upper=${word^^}
    cut=${upper//X/_}
    case $cut in
      W1*_3) ((total += ${#cut})) ;;
      *_1?) ((total += ${#seen[$word]})) ;;
    esac
    [[ $word =~ w([0-9]+)x ]] && ((total += BASH_REMATCH[1] % 7))
  done
  IFS=, read -r -a fields <<< "${seen[w0x0]}${seen[${words[5]}]}"
  ((total += ${#fields[@]}))
  unset seen
done
echo "$total"
