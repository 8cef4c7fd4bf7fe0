#!/bin/bash
# A throw-away Apache Cassandra on loopback, out of a folder of jars (see get-cassandra.sh).
#   cassandra.sh start  DIR JARS [-n NODES] [-a] [-t KEYSTORE] [-T KEYSTORE] [-x JVMFLAG]...   starts nodes 127.0.0.1..N, waits until each serves CQL
#   cassandra.sh stop   DIR [NODE]     SIGTERM by pid, waits (SIGKILL with KILL=1)
#   cassandra.sh restart DIR JARS NODE   brings one stopped or killed node back with its old config, data and host_id
#   cassandra.sh status DIR
# -a PasswordAuthenticator (cassandra/cassandra)   -t TLS optional on the CQL port, -T TLS required
# env: PYTHON (python3) PORT (9042) STORAGE (7000) HEAP (256M) OFFHEAP (128M) TOKENS (4) JAVA (java) WAIT (240 s)
#      FAST=1 does not flush system tables (about 1 CPU s less a start, but a killed node then loses tables made since: not with restart)
#      BATCH=1 syncs the commit log before a write is acknowledged: without it a counter's leader that is killed forgets increments
#      NOAGENT=1 CDS=-XX:ArchiveClassesAtExit=F makes a class archive at stop; NOAGENT=1 CDS=-XX:SharedArchiveFile=F uses it (about 2 CPU s less a start)
set -euo pipefail
cmd=$1 dir=$2; shift 2
PORT=${PORT:-9042} STORAGE=${STORAGE:-7000} HEAP=${HEAP:-256M} OFFHEAP=${OFFHEAP:-128M} TOKENS=${TOKENS:-4} JAVA=${JAVA:-java} WAIT=${WAIT:-240}

write_config() { # node
  local d=$dir/node$1 ip=127.0.0.$1
  mkdir -p "$d"/{data,commitlog,hints,caches,cdc}
  cat >"$d/cassandra.yaml" <<Y
cluster_name: ringplane-tests
num_tokens: $TOKENS
initial_token: "$("${PYTHON:-python3}" -c "print(','.join(str(-2**63 + 1 + (j * $nodes + $1 - 1) * (2**64 // ($nodes * $TOKENS))) for j in range($TOKENS)))")"
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{ seeds: "$(for ((i = 1; i <= nodes; i++)); do printf '%s127.0.0.%d:%d' "${sep:-}" $i $STORAGE; sep=,; done)" }]
auto_bootstrap: false
listen_address: $ip
storage_port: $STORAGE
rpc_address: $ip
start_native_transport: true
native_transport_port: $PORT
authenticator: $auth
authorizer: $authz
role_manager: CassandraRoleManager
$(if [ -n "${BATCH:-}" ]; then echo 'commitlog_sync: batch'; else printf 'commitlog_sync: periodic\ncommitlog_sync_period: 10s'; fi)
commitlog_segment_size: 8MiB
commitlog_total_space: 64MiB
memtable_heap_space: 64MiB
memtable_allocation_type: unslabbed_heap_buffers
memtable_offheap_space: 64MiB
key_cache_size: 8MiB
file_cache_size: 32MiB
networking_cache_size: 32MiB
auto_snapshot: false
read_request_timeout: 20s
range_request_timeout: 20s
write_request_timeout: 20s
cas_contention_timeout: 20s
counter_write_request_timeout: 20s
truncate_request_timeout: 60s
request_timeout: 20s
snapshot_before_compaction: false
concurrent_reads: 8
concurrent_writes: 8
concurrent_counter_writes: 4
concurrent_compactors: 1
materialized_views_enabled: false
hints_directory: $d/hints
data_file_directories: [ $d/data ]
commitlog_directory: $d/commitlog
saved_caches_directory: $d/caches
cdc_raw_directory: $d/cdc
Y
  if [ -n "$keystore" ]; then cat >>"$d/cassandra.yaml" <<Y
client_encryption_options:
  enabled: true
  optional: $optional
  keystore: $keystore
  keystore_password: cassandra
  require_client_auth: false
Y
  fi
  cat >"$d/logback.xml" <<L
<configuration><appender name="F" class="ch.qos.logback.core.FileAppender"><file>$d/system.log</file>
<encoder><pattern>%-5level [%thread] %date{HH:mm:ss.SSS} %F:%L %msg%n</pattern></encoder></appender>
<root level="INFO"><appender-ref ref="F"/></root></configuration>
L
}

flags17=(
  -Djdk.attach.allowAttachSelf=true -Djava.security.manager=allow
  --add-exports=java.base/jdk.internal.misc=ALL-UNNAMED
  --add-exports=java.management.rmi/com.sun.jmx.remote.internal.rmi=ALL-UNNAMED
  --add-exports=java.rmi/sun.rmi.registry=ALL-UNNAMED
  --add-exports=java.rmi/sun.rmi.server=ALL-UNNAMED
  --add-exports=java.sql/java.sql=ALL-UNNAMED
  --add-exports=java.base/java.lang.ref=ALL-UNNAMED
  --add-exports=jdk.unsupported/sun.misc=ALL-UNNAMED
  --add-opens=java.base/java.lang.module=ALL-UNNAMED
  --add-opens=java.base/jdk.internal.loader=ALL-UNNAMED
  --add-opens=java.base/jdk.internal.ref=ALL-UNNAMED
  --add-opens=java.base/jdk.internal.reflect=ALL-UNNAMED
  --add-opens=java.base/jdk.internal.math=ALL-UNNAMED
  --add-opens=java.base/jdk.internal.module=ALL-UNNAMED
  --add-opens=java.base/jdk.internal.util.jar=ALL-UNNAMED
  --add-opens=jdk.management/com.sun.management.internal=ALL-UNNAMED
  --add-opens=java.base/sun.nio.ch=ALL-UNNAMED
  --add-opens=java.base/java.io=ALL-UNNAMED
  --add-opens=java.base/java.nio=ALL-UNNAMED
  --add-opens=java.base/java.lang=ALL-UNNAMED
  --add-opens=java.base/java.lang.reflect=ALL-UNNAMED
  --add-opens=java.base/java.util=ALL-UNNAMED
  --add-opens=java.base/java.util.concurrent=ALL-UNNAMED
  --add-opens=java.base/java.util.concurrent.atomic=ALL-UNNAMED
  --add-opens=java.base/java.net=ALL-UNNAMED
  --add-opens=java.base/java.time=ALL-UNNAMED
)

launch() { # node
  local d=$dir/node$1
  local agent=(); [ -n "${NOAGENT:-}" ] || agent=(-javaagent:"$(ls "$jars"/jamm-*.jar)")
  setsid "$JAVA" -Xms$HEAP -Xmx$HEAP -XX:MaxDirectMemorySize=$OFFHEAP -Xss512k -XX:+UseSerialGC \
    -XX:TieredStopAtLevel=${TIER:-1} -Xshare:auto -XX:+PerfDisableSharedMem ${CDS:+$CDS} \
    "${agent[@]}" "${flags17[@]}" "${extra[@]}" \
    -Dcassandra.config="file://$d/cassandra.yaml" -Dcassandra.storagedir="$d" -Dcassandra.logdir="$d" \
    -Dlogback.configurationFile="$d/logback.xml" -Dcassandra-foreground=yes \
    -Dcassandra.ring_delay_ms=1 -Dcassandra.gossip_quarantine_delay_ms=120000 -Dcassandra.skip_wait_for_gossip_to_settle=0 \
    -Dcassandra.superuser_setup_delay_ms=0 ${FAST:+-Dcassandra.unsafesystem=true} \
    -Dcassandra.consistent.rangemovement=false -Dcassandra.consistent.simultaneousmoves.allow=true -Dcassandra.broadcast_interval_ms=1000 \
    -Dcassandra.jmx.remote.port=0 -Dio.netty.tryReflectionSetAccessible=true \
    -cp "$jars/*" org.apache.cassandra.service.CassandraDaemon </dev/null >"$d/stdout.log" 2>&1 &
  echo $! >"$d/pid"
}

wait_cql() { # node
  local i pid; pid=$(cat "$dir/node$1/pid")
  for ((i = 0; i < WAIT * 10; i++)); do
    kill -0 "$pid" 2>/dev/null || { echo "node$1 died" >&2; tail -qn 25 "$dir/node$1/stdout.log" "$dir/node$1/system.log" >&2; return 1; }
    (exec 3<>"/dev/tcp/127.0.0.$1/$PORT") 2>/dev/null && return 0
    sleep 0.1
  done
  echo "node$1: no CQL after $WAIT s" >&2; return 1
}

case $cmd in
start)
  mkdir -p "$dir"; dir=$(cd "$dir" && pwd); jars=$(cd "$1" && pwd); shift
  nodes=1 auth=AllowAllAuthenticator authz=AllowAllAuthorizer keystore= optional=true extra=() user=
  while getopts n:at:T:x: o; do case $o in
    n) nodes=$OPTARG ;; a) user=cassandra:cassandra auth=PasswordAuthenticator authz=CassandraAuthorizer ;;
    t) keystore=$(realpath "$OPTARG") ;; T) keystore=$(realpath "$OPTARG") optional=false ;;
    x) extra+=("$OPTARG") ;; *) exit 2 ;; esac; done
  s=$(date +%s%N)
  for ((n = 1; n <= nodes; n++)); do write_config $n; launch $n; done
  for ((n = 1; n <= nodes; n++)); do
    wait_cql $n
    "${PYTHON:-python3}" "$(dirname "$0")/cqlmini.py" ${user:+-u $user} $([ $optional = true ] || echo --tls any) 127.0.0.$n:$PORT wait $nodes
    echo "node$n pid $(cat "$dir/node$n/pid") ready at 127.0.0.$n:$PORT after $((($(date +%s%N) - s) / 1000000)) ms"
  done ;;
restart)
  dir=$(cd "$dir" && pwd); jars=$(cd "$1" && pwd); extra=(); s=$(date +%s%N)
  PORT=$(awk '/^native_transport_port/{print $2}' "$dir/node$2/cassandra.yaml"); launch "$2"; wait_cql "$2"
  echo "node$2 pid $(cat "$dir/node$2/pid") listens again after $((($(date +%s%N) - s) / 1000000)) ms" ;;
stop)
  for p in "$dir"/node${1:-*}/pid; do
    [ -e "$p" ] || continue; pid=$(cat "$p"); kill ${KILL:+-9} "$pid" 2>/dev/null || true
    for ((i = 0; i < 300; i++)); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -0 "$pid" 2>/dev/null && kill -9 "$pid" || true; rm -f "$p"
  done ;;
status)
  for p in "$dir"/node*/pid; do [ -e "$p" ] || continue; pid=$(cat "$p")
    echo "$p $pid $(awk '/VmRSS|VmHWM|Threads/{printf "%s%s ",$1,$2}' "/proc/$pid/status" 2>/dev/null || echo gone)"; done ;;
*) sed -n 2,11p "$0"; exit 2 ;;
esac
