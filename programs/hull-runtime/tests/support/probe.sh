# Says everything that a process can read of itself and its surroundings, in sections of lines whose order means nothing.
s() { echo "== $1"; }
s status
grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp|Umask|Cpus_allowed_list|Mems_allowed_list|Sig[BIC]|Shd|TracerPid|Threads|THP|Spec|CoreDump)' /proc/self/status
s limits; cat /proc/self/limits
s mounts; while read -r id parent device root at options rest; do echo "$at $root $options $rest"; done </proc/self/mountinfo
s cgroup; cat /proc/self/cgroup
s attributes; for f in current exec apparmor/current; do cat /proc/self/attr/$f 2>&1; done
s maps; for f in uid_map gid_map setgroups; do echo $f $(cat /proc/self/$f); done
s devices; find /dev ! -path '/dev/pts/*' ! -path '/dev/shm/*' -exec stat -c '%N %F %a %u:%g %t,%T' {} +
s terminal; tty; ls /dev/pts; stat -c '%F %a %u:%g %t' /dev/console /dev/tty 2>/dev/null
s environment; env
s identity; id; pwd; umask; hostname; cat /proc/sys/kernel/domainname; readlink /proc/self/cwd /proc/self/root
s namespaces; for n in cgroup ipc mnt net pid time user uts; do echo $n $(readlink /proc/self/ns/$n); done
s descriptors; ls /proc/self/fd
s scores; for f in oom_score_adj coredump_filter personality timerslack_ns loginuid; do echo $f $(cat /proc/self/$f 2>/dev/null); done
s parameters
for f in kernel/shmmax kernel/sem net/ipv4/ip_forward net/ipv4/ping_group_range net/ipv4/ip_unprivileged_port_start fs/mqueue/msg_max; do
  echo $f $(cat /proc/sys/$f 2>&1)
done
s keyring; cat /proc/keys 2>&1 | sed 's/^[^ ]* *[^ ]* *[^ ]* *[^ ]* //'
s interfaces; cat /proc/net/dev | sed -n 's/:.*//p'; cat /sys/class/net/lo/operstate 2>/dev/null
s session; read -r stat </proc/1/stat; stat=${stat##*) }; set -- $stat; echo state $1 ppid $2 tty $5 priority $16 nice $17; [ "$3" = "$4" ] && echo leads
s files; ls -la / | sed 's/^\([^ ]*\) *[0-9]* *\([^ ]*\) *\([^ ]*\) .* /\1 \2 \3 /'
s hidden; for p in /proc/kcore /proc/keys /proc/timer_list /proc/acpi /sys/firmware; do [ -d $p ] && ls -A $p | wc -l || head -c 5 $p 2>&1 | wc -c; done
s guarded; for p in /proc/sys/kernel/hostname /proc/sysrq-trigger /proc/irq/x /sys/x /x /tmp/x /dev/x /dev/shm/x; do { : >$p; } 2>&1 | sed 's/^.*: //'; echo "$p"; done 2>&1
s groups
for f in memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes memory/memory.soft_limit_in_bytes memory/memory.swappiness \
  memory/memory.oom_control cpu/cpu.shares cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us cpuset/cpuset.cpus cpuset/cpuset.mems pids/pids.max \
  blkio/blkio.weight devices/devices.list; do
  while read -r line; do echo "$f $line"; done 2>/dev/null </sys/fs/cgroup/$f
done
true
