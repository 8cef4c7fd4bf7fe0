package main

import (
	"bufio"
	"fmt"
	"math/bits"
	"net"
	"os"
	"os/signal"
	"runtime/metrics"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// What measure.h is to the C++ programs.
var (
	received atomic.Int64
	events   atomic.Int64
	latency  [1920]atomic.Int64
	started  = time.Now()
	input    = bufio.NewReader(os.Stdin)
)

const addresses = 16

func die(what ...any) {
	fmt.Fprintln(os.Stderr, what...)
	os.Exit(1)
}

func say(line string) {
	fmt.Println(line)
}

func awaitGo() {
	if _, err := input.ReadString('\n'); err != nil {
		os.Exit(0)
	}
}

func addLatency(ns uint64) {
	shift := max(0, bits.Len64(ns)-6)
	latency[shift*32+int(ns>>shift)].Add(1)
}

func startReports() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		for range asked {
			report()
		}
	}()
}

func report() {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		die(err)
	}
	micros := func(t syscall.Timeval) int64 { return t.Sec*1e6 + t.Usec }
	line := fmt.Sprintf(
		"report clock_ns=%d user_us=%d system_us=%d sleeps=%d preemptions=%d bytes=%d events=%d allocations=%d",
		time.Since(started).Nanoseconds(), micros(usage.Utime),
		micros(usage.Stime), usage.Nvcsw, usage.Nivcsw, received.Load(),
		events.Load(), allocated())
	var buckets []string
	for i := range latency {
		if count := latency[i].Load(); count > 0 {
			buckets = append(buckets, fmt.Sprintf("%d:%d", i, count))
		}
	}
	if len(buckets) > 0 {
		line += " latency=" + strings.Join(buckets, ",")
	}
	say(line)
}

// allocated is the number of objects that the heap has given out.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// setReset makes the end of a connection a reset: no port stays in TIME_WAIT.
func setReset(conn net.Conn) {
	if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
		die(err)
	}
}
