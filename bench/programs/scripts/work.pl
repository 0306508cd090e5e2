# Hashes, lists, splitting and substitution: work.pl ROUNDS. Prints a checksum.
use strict;
use warnings;

my $total = 0;
for my $round (1 .. $ARGV[0]) {
    my (%appended, @list, %nested);
    for my $i (0 .. 70000) {
        my $key = 'k' . ($i * 7919 % 50021);
        $appended{$key} .= "v$i,";
        push @list, [$i, $key];
        push @{ $nested{ $i % 211 }{ substr $key, 0, 3 } }, $i if $i % 3 == 0;
    }
    my @sorted = sort { $a->[1] cmp $b->[1] } @list[0 .. 20000];
    for my $key (sort keys %appended) {
        my @parts = split /,/, $appended{$key};
        $total += length($appended{$key}) + @parts;
    }
    for my $inner (values %nested) { $total += @$_ for values %$inner }
    my $text = join ' ', map { "$_->[1]=$_->[0]" } @sorted;
    $total += ($text =~ s/k(\d)(\d*)=/$2$1:/g) + length $text;
}
print "$total\n";
