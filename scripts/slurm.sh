#!/usr/bin/env bash
# scripts/slurm.sh DIR [NODES]: starts a Slurm for tests: slurmctld and NODES slurmd as this user, on 127.0.0.1, with all files in
# DIR. Needs Debian's slurmctld, slurmd and slurm-client (22.05 or later), and neither root, munge nor a database. Prints the
# path of the configuration for SLURM_CONF. The process ids are in DIR/pids; end them to stop it.
set -euo pipefail
dir=$(mkdir -p "$1" && cd "$1" && pwd)
nodes=${2:-2}
user=$(id -un)
host=$(hostname -s)
PATH=$PATH:/usr/sbin

# Ports of outgoing connections begin at 32768.
free_ports() {
  local port
  while port=$((20000 + RANDOM % 12000)); do
    for i in $(seq 0 "$nodes"); do
      if (exec 3<> "/dev/tcp/127.0.0.1/$((port + i))") 2>/dev/null; then continue 2; fi
    done
    echo "$port"
    return
  done
}

# Writes the configuration with free ports and starts the daemons.
start() {
local port
port=$(free_ports)
mkdir -p "$dir"/{ctld,log}
cat > "$dir/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/none
CredType=cred/none
# A job that is queued again waits until its credentials have expired.
AuthInfo=cred_expire=5
StateSaveLocation=$dir/ctld
SlurmctldPidFile=$dir/ctld.pid
SlurmctldLogFile=$dir/log/ctld.log
SlurmdSpoolDir=$dir/%n
SlurmdPidFile=$dir/%n.pid
SlurmdLogFile=$dir/log/%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout=10
KillWait=5
MinJobAge=3600
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
CONF
for i in $(seq "$nodes"); do
  echo "NodeName=n$i NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + i)) CPUs=8 RealMemory=8000 State=UNKNOWN"
done >> "$dir/slurm.conf"
cat >> "$dir/slurm.conf" <<CONF
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=5
PartitionName=low Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=1
CONF
export SLURM_CONF=$dir/slurm.conf
slurmctld -D > "$dir/log/ctld.console" 2>&1 &
echo $! > "$dir/pids"
for i in $(seq "$nodes"); do
  mkdir -p "$dir/n$i"
  slurmd -D -N "n$i" > "$dir/log/n$i.console" 2>&1 &
  echo $! >> "$dir/pids"
done
}

all_run() {
  local pid
  for pid in $(cat "$dir/pids"); do kill -0 "$pid" 2>/dev/null || return; done
}

start
while [ $SECONDS -lt 60 ]; do
  # Another program may have taken a port meanwhile.
  if ! all_run; then
    xargs kill -9 < "$dir/pids" 2>/dev/null || true
    start
  fi
  if [ "$(timeout 5 sinfo -h -t idle -o %D 2>/dev/null)" = "$nodes" ]; then
    echo "$SLURM_CONF"
    exit
  fi
  sleep 0.1
done
echo "Slurm did not start within 60 s:" >&2
tail -n 3 "$dir"/log/*.console >&2
exit 1
