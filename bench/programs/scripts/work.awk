# Associative arrays, fields and substitution over the lines of the input. Prints a checksum.
{
    count = split($0, words, " ")
    for (i = 1; i <= count; i++) {
        word = words[i]
        gsub(/[aeiou]/, "", word)
        seen[word] = seen[word] "," NR
        pairs[words[i] " " words[i - 1]]++
    }
    if (NR % 20000 == 0) {
        for (word in seen) total += length(seen[word])
        delete seen
    }
}
END {
    for (pair in pairs) total += pairs[pair] * length(pair)
    print total, NR
}
