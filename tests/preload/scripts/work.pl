# Hashes, regular expressions, sorting, closures, deep structures, threads and fork.
use strict;
use warnings;
use threads;
use threads::shared;
use Digest::SHA qw(sha256_hex);
use List::Util qw(sum0 max first shuffle);
use Storable qw(freeze thaw dclone);
use Encode qw(encode decode);

my $state = 7;
sub random { $state = ($state * 1103515245 + 12345) % 2147483648; return ($state >> 16) % $_[0]; }
sub word { return join '', map { chr(97 + random(8)) } 1 .. 1 + random(20); }

sub words_and_counts {
    my (%count, %by_length);
    for (1 .. 60_000) {
        my $w = word();
        $count{$w}++;
        push @{$by_length{length $w}}, $w;
    }
    for my $w (sort keys %count) { delete $count{$w} if $w =~ /^(?:ab|cd)|(.)\1/; }
    print "words ", scalar(keys %count), " ", sha256_hex(join ',', map { "$_=$count{$_}" } sort keys %count), "\n";
    print "lengths ", join(' ', map { "$_:" . scalar @{$by_length{$_}} } sort { $a <=> $b } keys %by_length), "\n";
}

sub rewriting {
    my $text = join ' ', map { word() } 1 .. 30_000;
    my $n = ($text =~ s/\b(\w)(\w*)\b/$2$1ay/g);
    (my $upper = $text) =~ s/([aeiou])/\U$1/g;
    my @fields = split /\s+/, $upper;
    my %seen;
    my @unique = grep { !$seen{$_}++ } @fields;
    print "rewritten $n, ", scalar(@unique), " unique, ", sha256_hex($upper), "\n";
    my $wide = decode('UTF-8', encode('UTF-8', join '', map { chr(0x3b1 + $_ % 20) } 1 .. 50_000));
    print "wide ", length($wide), " ", sha256_hex(encode('UTF-16BE', $wide)), "\n";
}

sub tree {
    my ($depth) = @_;
    return { value => random(1000), children => $depth ? [map { tree($depth - 1) } 1 .. 3] : [] };
}
sub total { my ($t) = @_; return $t->{value} + sum0(map { total($_) } @{$t->{children}}); }

sub structures {
    my $tree = tree(8);
    my $copy = thaw(freeze($tree));
    my $other = dclone($copy);
    undef $tree;
    print "tree ", total($copy), " ", total($other), "\n";
    my @closures = map { my $k = $_; sub { return $k * $_[0] } } 1 .. 5000;
    print "closures ", sum0(map { $_->(3) } @closures), "\n";
    my @sorted = sort { $a->[1] cmp $b->[1] or $a->[0] <=> $b->[0] } map { [$_, word()] } 1 .. 20_000;
    print "sorted ", sha256_hex(join ',', map { "$_->[0]$_->[1]" } @sorted), "\n";
}

sub with_threads {
    my %shared :shared;
    my @workers = map {
        my $id = $_;
        threads->create(sub {
            my %own;
            $own{"$id:" . $_ % 997} .= 'x' x ($_ % 50) for 1 .. 20_000;
            { lock %shared; $shared{$id} = sum0(map { length } values %own); }
            return [map { $_ * $id } 1 .. 1000];
        });
    } 1 .. 4;
    my @sums = map { sum0(@{$_->join}) } @workers;
    print "threads @sums ", join(' ', map { "$_=$shared{$_}" } sort keys %shared), "\n";
}

sub with_fork {
    my @big = map { word() } 1 .. 20_000;
    my @readers;
    for my $id (1 .. 6) {
        my $pid = open(my $from_child, '-|') // die "fork: $!";
        if (!$pid) {
            my @mine = sort map { $_ . $id } @big;
            print sha256_hex(join ',', @mine), "\n";
            exit $id;
        }
        push @readers, [$id, $from_child];
    }
    for (@readers) {
        my ($id, $from_child) = @$_;
        my $line = <$from_child>;
        close $from_child;
        print "child $id: ", $? >> 8, " $line";
    }
}

words_and_counts();
rewriting();
structures();
with_threads();
with_fork();
print "again\n";
words_and_counts();
