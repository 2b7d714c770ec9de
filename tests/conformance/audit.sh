# What a process may do where it stands, one fact a line. Runs under busybox's shell, as the container's program.
#
#   capability SET HEX · seccomp MODE · no-new-privileges N · namespace KIND ID · device TYPE MAJOR:MINOR PATH
#   opens TYPE MAJOR:MINOR (a node that was made here can be opened) · writable PATH (of /proc and /sys)
#   shown PATH (one of the masked paths has something to read) · mount TARGET TYPE OPTION · limit NAME VALUE
while read -r name value; do
    case $name in
    CapInh: | CapPrm: | CapEff: | CapBnd: | CapAmb:) echo "capability $name $value" ;;
    Seccomp:) echo "seccomp $value" ;;
    NoNewPrivs:) echo "no-new-privileges $value" ;;
    esac
done </proc/self/status
for kind in cgroup ipc mnt net pid user uts; do echo "namespace $kind $(readlink /proc/self/ns/$kind)"; done

find /dev -type c -o -type b | while read -r path; do
    case $path in /dev/pts/* | /dev/console) continue ;; esac
    echo "device $(stat -c %F "$path" | cut -c1) $((0x$(stat -c %t "$path"))):$((0x$(stat -c %T "$path"))) $path"
done
for node in c:1:1 c:1:2 c:1:3 c:1:4 c:1:5 c:1:7 c:1:8 c:1:9 c:1:11 c:4:0 c:5:0 c:5:2 c:10:58 c:10:144 c:10:200 c:10:223 c:10:229 \
    c:10:232 c:10:235 c:10:237 c:10:239 c:29:0 c:108:0 c:195:0 c:226:0 c:241:0 b:7:0 b:8:0 b:9:0 b:253:0 b:254:0 b:254:1 b:259:0; do
    kind=${node%%:*} numbers=${node#*:}
    mknod /tmp/node "$kind" "${numbers%:*}" "${numbers#*:}" 2>/dev/null || continue
    case $(dd if=/tmp/node of=/tmp/nothing bs=1 count=0 2>&1) in *"not permitted"*) ;; *) echo "opens $kind $numbers" ;; esac
    rm /tmp/node
done

# a redirection that fails ends a shell at `:`, and not at `true`
find /proc /sys -name '[0-9]*' -path '/proc/[0-9]*' -prune -o -type f -print 2>/dev/null | while read -r path; do
    case $path in /proc/self/* | /proc/thread-self/*) continue ;; esac
    true 2>/dev/null >>"$path" && echo "writable $path"
done
for name in clear_refs comm coredump_filter gid_map loginuid make-it-fail mem oom_adj oom_score_adj sched setgroups \
    timerslack_ns uid_map attr/current attr/exec attr/fscreate attr/keycreate attr/sockcreate; do
    true 2>/dev/null >>"/proc/self/$name" && echo "writable /proc/self/$name"
done
for path in /proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/sched_debug /proc/scsi \
    /proc/timer_list /proc/timer_stats /sys/devices/virtual/powercap /sys/firmware; do
    if [ -d $path ]; then [ -z "$(ls -A $path)" ] || echo "shown $path"
    elif [ -e $path ]; then [ -z "$(head -c 1 $path 2>/dev/null)" ] || echo "shown $path"; fi
done
while read -r _ _ _ _ target options rest; do
    kind=${rest#*- } kind=${kind%% *}
    for option in $(echo "$options" | tr , ' '); do echo "mount $target $kind $option"; done
done </proc/self/mountinfo
for letter in c f n u v s l; do echo "limit $letter $(ulimit -$letter 2>/dev/null)"; done
