#!/bin/bash
# usage: get-cassandra.sh VERSION OUTDIR   -- resolves cassandra-all:VERSION and its runtime jars into OUTDIR.
# Uses the local Maven repository unless M2 is set. Drops jars a Linux x86_64 server run never loads (other platforms' natives, stress/driver/sjk).
set -euo pipefail
v=$1 out=$(mkdir -p "$2" && cd "$2" && pwd)
here=$(mktemp -d); trap 'rm -rf $here' EXIT
cat >"$here/pom.xml" <<P
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>ringplane</groupId><artifactId>cassandra-jars</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies><dependency>
    <groupId>org.apache.cassandra</groupId><artifactId>cassandra-all</artifactId><version>$v</version>
    <exclusions>${SLIM:+
      <exclusion><groupId>com.datastax.cassandra</groupId><artifactId>*</artifactId></exclusion>
      <exclusion><groupId>org.gridkit.jvmtool</groupId><artifactId>*</artifactId></exclusion>
      <exclusion><groupId>io.netty</groupId><artifactId>netty-resolver-dns-native-macos</artifactId></exclusion>
      <exclusion><groupId>io.netty</groupId><artifactId>netty-transport-native-kqueue</artifactId></exclusion>
    }</exclusions>
  </dependency></dependencies>
</project>
P
mvn -B -q -ntp ${M2:+-Dmaven.repo.local=$M2} -f "$here/pom.xml" \
  org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
  -DincludeScope=runtime -DoutputDirectory="$out"
[ -z "${SLIM:-}" ] || rm -f "$out"/*-osx-*.jar "$out"/*-windows-*.jar "$out"/*-aarch_64.jar "$out"/*-riscv64.jar
echo "$v: $(ls "$out"/*.jar | wc -l) jars, $(du -sm "$out" | cut -f1) MiB in $out"
