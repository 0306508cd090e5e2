# Groups, maps, prints and parses the array of the input, three times over. Prints sums.
. as $rows
| [ range(3) as $k
    | ($rows | map(.t[0] * $k + .id) | add),
      ($rows | group_by(.s) | map(length) | max),
      ($rows | map(tojson | fromjson | .t | add) | add),
      ($rows | map({key: .s, value: .id}) | from_entries | length)
  ]
