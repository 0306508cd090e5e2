# shellcheck shell=bash disable=SC2034,SC2191
# The Debian packages that tools/check and tools/demo need, and how they are installed. Sourced, not run.
#
# An entry "command=package" counts as installed when the command is there, wherever it came from: a node or a clang of
# the machine's owner is not replaced. A plain entry is a package that dpkg must know as installed.

build_packages=(
  /usr/bin/g++=g++ meson=meson ninja=ninja-build pkg-config=pkg-config /usr/bin/python3=python3
  libcli11-dev libfmt-dev nlohmann-json3-dev
)

# The program that the demo runs, and the allocator that it compares with.
demo_packages=(cppcheck=cppcheck libmimalloc2.0)

test_packages=(
  clang=clang clang-format=clang-format readelf=binutils strace=strace gdb=gdb valgrind=valgrind pgrep=procps
  libgtest-dev libbenchmark-dev libboost-dev libmimalloc-dev libmimalloc2.0 libjemalloc2 libtcmalloc-minimal4
)

# The real programs that run on lanes in tests/preload, and those that bench/suites measures.
program_packages=(
  libpython3.11-testsuite perl=perl ruby=ruby node=nodejs lua5.4=lua5.4 gcc=gcc git=git sqlite3=sqlite3
  redis-server=redis-server redis-benchmark=redis-tools nginx=nginx-light wrk=wrk
  /usr/lib/postgresql/15/bin/postgres=postgresql-15 postgresql-contrib
  xmllint=libxml2-utils jq=jq cppcheck=cppcheck z3=z3 bash=bash java=openjdk-17-jre-headless javac=openjdk-17-jdk-headless
  make=make xz=xz-utils ssh-keygen=openssh-client openssl=openssl awk=mawk mawk=mawk as=binutils gdb=gdb clang++=clang
  db_bench=rocksdb-tools
)

# Prints the packages among the given entries that are missing.
missing_packages() {
  local entry
  for entry in "$@"; do
    case $entry in
      *=*) PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH command -v "${entry%%=*}" > /dev/null || echo "${entry#*=}" ;;
      *) [ "$(dpkg-query -W -f '${db:Status-Status}' "$entry" 2> /dev/null)" = installed ] || echo "$entry" ;;
    esac
  done | sort -u
}

# A server that a test needs is not a server that the machine should run: nothing is started while packages are installed,
# and what this installs is not started at the next boot either.
without_services() {
  local policy=/usr/sbin/policy-rc.d ours=no status=0 service
  local before=()
  for service in redis-server nginx postgresql; do [ -e "/etc/init.d/$service" ] && before+=("$service"); done
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' > $policy && chmod 755 $policy && ours=yes
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT INT TERM
  fi
  "$@" || status=$?
  if [ $ours = yes ]; then
    rm -f $policy
    trap - EXIT INT TERM
  fi
  for service in redis-server nginx postgresql; do
    case " ${before[*]-} " in *" $service "*) continue ;; esac
    [ -e "/etc/init.d/$service" ] && update-rc.d "$service" disable > /dev/null 2>&1
  done
  return $status
}

# Installs what is missing among the entries; says what to do when it may not.
install_packages() {
  local missing
  missing=$(missing_packages "$@" | tr '\n' ' ')
  [ -z "$missing" ] && return 0
  if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    echo "These packages are missing: $missing" >&2
    echo "Install them as root, then start this again:  apt-get install $missing" >&2
    return 1
  fi
  echo "Installing: $missing"
  local log
  log=$(mktemp)
  # shellcheck disable=SC2086  # one word for each package
  if DEBIAN_FRONTEND=noninteractive apt-get update -q > "$log" 2>&1 &&
    DEBIAN_FRONTEND=noninteractive without_services \
      apt-get install -q -y --no-install-recommends $missing >> "$log" 2>&1; then
    rm -f "$log"
    return 0
  fi
  tail -n 25 "$log" >&2
  rm -f "$log"
  echo "apt-get could not install the packages; its last lines are above. Is the network there, and is this Debian 12?" >&2
  return 1
}

# Debian's meson must run on Debian's python; a python of pyenv or conda that comes first in PATH lacks its modules.
prefer_system_tools() { export PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH; }
