#!/usr/bin/env bash
# A small real SLURM on this machine, for tests: Debian packages, no systemd, no cgroups. Needs root.
#
#   tests/slurm_cluster.sh start    install what is missing, start, wait until it answers; may be called again
#   tests/slurm_cluster.sh restart  end slurmctld and start it again; jobs run on
#   tests/slurm_cluster.sh stop     cancel its jobs, end what was started here, remove the folder
#
# MMBENCH_SLURM names the folder (default /tmp/mmbench-slurm), MMBENCH_SLURM_PORT the first of three ports.
# Afterwards `. FOLDER/env.sh` makes sbatch and squeue find it. Nothing outside the folder is written.
set -euo pipefail

home=${MMBENCH_SLURM:-/tmp/mmbench-slurm}
port=${MMBENCH_SLURM_PORT:-26817}
cpus=4  # claimed, so that several array tasks run at a time on a small machine
PATH=$PATH:/usr/sbin:/sbin
export SLURM_CONF=$home/slurm.conf

fail() {
  echo "slurm_cluster.sh: $*" >&2
  tail -n 5 "$home"/log/*.log >&2 2>/dev/null || true
  exit 1
}

# The pid in a file, if that process is of this folder: a stale file never leads to another's process.
living() {
  local pid
  pid=$(cat "$home/run/$1.pid" 2>/dev/null) && [ -n "$pid" ] || return 1
  { tr '\0' '\n' < "/proc/$pid/environ" | grep -xF "SLURM_CONF=$SLURM_CONF"; } > /dev/null 2>&1 || return 1
  ! grep -q '^State:.*Z' "/proc/$pid/status" 2> /dev/null || return 1
  echo "$pid"
}

# until_ok SECONDS COMMAND...
until_ok() {
  local tries=$(($1 * 10))
  shift
  until "$@" > /dev/null 2>&1; do
    [ $((tries -= 1)) -gt 0 ] || fail "it did not come to: $*"
    sleep 0.1
  done
}

end() {
  local pid
  if pid=$(living "$1"); then
    kill -TERM "$pid"
    for _ in $(seq 100); do
      living "$1" > /dev/null || break
      sleep 0.1
    done
    pid=$(living "$1") && kill -KILL "$pid"
  fi
  rm -f "$home/run/$1.pid"
}

as() {
  local user=$1
  shift
  setpriv --reuid="$user" --regid="$user" --clear-groups "$@"
}

install_packages() {
  local lacking=() pair
  for pair in munged:munge slurmctld:slurm-wlm slurmdbd:slurmdbd mariadbd:mariadb-server-core \
    mariadb:mariadb-client-core ip:iproute2; do
    command -v "${pair%%:*}" > /dev/null || lacking+=("${pair##*:}")
  done
  [ ${#lacking[@]} -gt 0 ] || return 0
  # The packages' own configuration is not to be started.
  local policy=/usr/sbin/policy-rc.d made=
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' > $policy
    chmod 755 $policy
    made=$policy
  fi
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -qq && apt-get install -qq -y --no-install-recommends "${lacking[@]}"; } > "$home/log/apt.log" 2>&1 ||
    { rm -f "$made"; fail "apt-get could not install: ${lacking[*]}"; }
  rm -f "$made"
}

configure() {
  mkdir -p "$home"/{run,state,spool,munge,db}
  chown slurm: "$home"/{run,log,state,db}
  chown munge: "$home/munge"
  chmod 711 "$home/munge"
  if [ ! -s "$home/munge/key" ]; then
    (umask 077 && head -c 1024 /dev/urandom > "$home/munge/key")
    chown munge: "$home/munge/key"
  fi
  cat > "$SLURM_CONF" <<CONF
ClusterName=mmbench
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=$port
SlurmUser=slurm
AuthType=auth/munge
# How long a requeued job waits, too: at least 5 s are accepted, and it would be two minutes.
AuthInfo=socket=$home/munge/socket,cred_expire=5
MpiDefault=none
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
PropagateResourceLimits=NONE
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
ReturnToService=2
KillWait=3
CompleteWait=0
# Small, so that arrays have to be split.
MaxArraySize=5
StateSaveLocation=$home/state
SlurmdSpoolDir=$home/spool
SlurmctldPidFile=$home/run/slurmctld.pid
SlurmdPidFile=$home/run/slurmd.pid
SlurmctldLogFile=$home/log/slurmctld.log
SlurmdLogFile=$home/log/slurmd.log
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort=$((port + 1))
AccountingStoragePass=$home/munge/socket
NodeName=one NodeHostname=localhost NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=$cpus RealMemory=16000 State=UNKNOWN
PartitionName=batch Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=1 GraceTime=5
PartitionName=urgent Nodes=ALL MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF
CONF
  # Named, it is not looked for: slurmd would not start where no cgroups are mounted.
  echo CgroupPlugin=cgroup/v1 > "$home/cgroup.conf"
  cat > "$home/slurmdbd.conf" <<CONF
AuthType=auth/munge
AuthInfo=socket=$home/munge/socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$((port + 1))
SlurmUser=slurm
PidFile=$home/run/slurmdbd.pid
LogFile=$home/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StorageLoc=accounting
CONF
  chown slurm: "$home/slurmdbd.conf"
  chmod 600 "$home/slurmdbd.conf"
  echo "export SLURM_CONF=$SLURM_CONF" > "$home/env.sh"
}

start_daemons() {
  if ! living munged > /dev/null; then
    rm -f "$home"/munge/socket*
    as munge munged --socket="$home/munge/socket" --key-file="$home/munge/key" --origin=127.0.0.1 \
      --pid-file="$home/munge/munged.pid" --log-file="$home/munge/log" --seed-file="$home/munge/seed"
    cp "$home/munge/munged.pid" "$home/run/munged.pid"
  fi
  if ! living mariadbd > /dev/null; then
    [ -d "$home/db/data/mysql" ] || mariadb-install-db --no-defaults --user=slurm --datadir="$home/db/data" \
      --skip-test-db --auth-root-authentication-method=socket --auth-root-socket-user=slurm \
      > "$home/log/mariadb-install.log" 2>&1 || fail "no database could be made"
    setsid setpriv --reuid=slurm --regid=slurm --clear-groups mariadbd --no-defaults --datadir="$home/db/data" --socket="$home/db/socket" \
      --pid-file="$home/run/mariadbd.pid" --skip-networking --performance-schema=OFF \
      --innodb-buffer-pool-size=32M --innodb-lock-wait-timeout=900 --innodb-flush-log-at-trx-commit=0 \
      < /dev/null >> "$home/log/mariadbd.log" 2>&1 9>&- &
    until_ok 60 mariadb --no-defaults --socket="$home/db/socket" -e 'select 1'
  fi
  living slurmdbd > /dev/null || MYSQL_UNIX_PORT=$home/db/socket slurmdbd
  until_ok 60 bash -c "exec 3<>/dev/tcp/127.0.0.1/$((port + 1))"
  living slurmctld > /dev/null || slurmctld -f "$SLURM_CONF"
  until_ok 60 scontrol ping
  living slurmd > /dev/null || slurmd -f "$SLURM_CONF" -N one
  until_ok 60 bash -c 'sinfo -h -p batch -o %T | grep -E "idle|mixed|allocated|completing"'
}

end_daemons() {
  if living slurmctld > /dev/null; then
    squeue -h -o %A | sort -u | xargs -r scancel || true
    for _ in $(seq 100); do
      [ -n "$(squeue -h)" ] || break
      sleep 0.1
    done
  fi
  for name in slurmd slurmctld slurmdbd mariadbd munged; do end $name; done
}

[ "$(id -u)" = 0 ] || { echo "slurm_cluster.sh: only root can start it" >&2; exit 1; }
case $home in
  /*[!A-Za-z0-9/._-]* | [!/]*) echo "slurm_cluster.sh: $home is no plain absolute path" >&2; exit 1 ;;
esac
[ ${#home} -le 60 ] || { echo "slurm_cluster.sh: $home is too long for the names of sockets" >&2; exit 1; }

case ${1:-} in
  start)
    mkdir -p "$home/log"
    chmod 755 "$home"
    exec 9> "$home/lock"
    flock 9
    install_packages
    # It finds no address at all where 127.0.0.1 is the only one.
    getent ahostsv4 127.0.0.1 > /dev/null || ip addr add 127.0.0.2/32 dev lo
    configure
    start_daemons 9>&-
    ;;
  restart)
    end slurmctld
    slurmctld -f "$SLURM_CONF"
    until_ok 60 scontrol ping
    ;;
  stop)
    [ -e "$SLURM_CONF" ] || exit 0
    end_daemons
    rm -rf -- "$home"
    ;;
  *)
    sed -n '2,10p' "$0"
    exit 2
    ;;
esac
