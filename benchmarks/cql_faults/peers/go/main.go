// The load of load.cc on scylladb/gocql: the same operations, files and verdict.
//
//	cql_faults_gocql ADDRESS[,ADDRESS...] WORKERS EVENTS
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"math/rand"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gocql/gocql"
)

const timeout = 2 * time.Second

const (
	writeRow  = "INSERT INTO faults.rows (key, value) VALUES (?, ?)"
	readRow   = "SELECT key, value FROM faults.rows WHERE key = ?"
	addOne    = "UPDATE faults.counters SET n = n + 1 WHERE id = ?"
	readCount = "SELECT n FROM faults.counters WHERE id = ?"
)

func rowKey(worker, number int64) int64 { return worker<<40 | number }

func rowValue(key int64) string {
	return fmt.Sprintf("row %d of %d", key, uint64(key)*31)
}

const counters = 8

type counter struct {
	attempts, acknowledged atomic.Int64
}

type load struct {
	session      *gocql.Session
	lock         sync.Mutex // Of events and acknowledged.
	events       *bufio.Writer
	acknowledged []int64
	counters     [counters]counter
	stop         atomic.Bool
	lost         atomic.Int64
	foreign      atomic.Int64
}

func (l *load) record(kind string, begin time.Time, err error) {
	end := time.Now()
	result := "ok"
	if err != nil {
		result = strings.ReplaceAll(err.Error(), "\n", " ")
	}
	l.lock.Lock()
	defer l.lock.Unlock()
	fmt.Fprintf(l.events, "%d %s %d %s\n", end.UnixMicro(), kind,
		end.Sub(begin).Microseconds(), result)
}

func (l *load) read(key int64) error {
	var told int64
	var value string
	err := l.session.Query(readRow, key).Idempotent(true).Scan(&told, &value)
	if errors.Is(err, gocql.ErrNotFound) {
		l.lost.Add(1)
		return nil
	}
	if err == nil && (told != key || value != rowValue(key)) {
		l.foreign.Add(1)
	}
	return err
}

func (l *load) acknowledge(key int64) {
	l.lock.Lock()
	defer l.lock.Unlock()
	l.acknowledged = append(l.acknowledged, key)
}

func (l *load) someKey() (int64, bool) {
	l.lock.Lock()
	defer l.lock.Unlock()
	if len(l.acknowledged) == 0 {
		return 0, false
	}
	return l.acknowledged[rand.Intn(len(l.acknowledged))], true
}

func (l *load) writeAndRead(worker int64) {
	for number := int64(0); !l.stop.Load(); number++ {
		key := rowKey(worker, number)
		begin := time.Now()
		err := l.session.Query(writeRow, key, rowValue(key)).Idempotent(true).Exec()
		l.record("w", begin, err)
		if err == nil {
			l.acknowledge(key)
		}
		key, ok := l.someKey()
		if !ok || l.stop.Load() {
			continue
		}
		begin = time.Now()
		err = l.read(key)
		l.record("r", begin, err)
	}
}

func (l *load) count() {
	for !l.stop.Load() {
		id := rand.Intn(counters)
		l.counters[id].attempts.Add(1)
		begin := time.Now()
		err := l.session.Query(addOne, int64(id)).Exec()
		l.record("c", begin, err)
		if err == nil {
			l.counters[id].acknowledged.Add(1)
		}
	}
}

// patiently retries what a cluster that still heals may refuse.
func patiently(what func() error) {
	var err error
	for i := 0; i < 20; i++ {
		if err = what(); err == nil {
			return
		}
	}
	log.Fatal(err)
}

func (l *load) verify() {
	l.lost.Store(0)
	for _, key := range l.acknowledged {
		patiently(func() error { return l.read(key) })
	}
	wrong := 0
	for id := range l.counters {
		c := &l.counters[id]
		var n int64
		patiently(func() error {
			err := l.session.Query(readCount, int64(id)).Scan(&n)
			if errors.Is(err, gocql.ErrNotFound) {
				return nil
			}
			return err
		})
		if n < c.acknowledged.Load() || n > c.attempts.Load() {
			wrong++
			log.Printf("counter %d is %d: %d acknowledged, %d tried", id, n,
				c.acknowledged.Load(), c.attempts.Load())
		}
	}
	text, _ := json.Marshal(map[string]int64{
		"acknowledged": int64(len(l.acknowledged)), "lost": l.lost.Load(),
		"foreign": l.foreign.Load(), "wrong_counters": int64(wrong)})
	fmt.Println(string(text))
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 4 {
		log.Fatal("usage: cql_faults_gocql ADDRESS[,ADDRESS...] WORKERS EVENTS")
	}
	workers, err := strconv.Atoi(os.Args[2])
	if err != nil || workers < 1 || workers > 255 {
		log.Fatal("WORKERS must be 1 to 255")
	}
	var hosts []string
	port := 0
	for _, address := range strings.Split(os.Args[1], ",") {
		host, service, err := net.SplitHostPort(address)
		if err != nil {
			log.Fatal(err)
		}
		if port, err = strconv.Atoi(service); err != nil {
			log.Fatal(err)
		}
		hosts = append(hosts, host)
	}
	events, err := os.Create(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	cluster := gocql.NewCluster(hosts...)
	cluster.Port = port
	cluster.ProtoVersion = 4
	cluster.Consistency = gocql.Quorum
	cluster.Timeout = timeout
	cluster.PoolConfig.HostSelectionPolicy =
		gocql.TokenAwareHostPolicy(gocql.RoundRobinHostPolicy(),
			gocql.ShuffleReplicas())
	cluster.RetryPolicy = &gocql.SimpleRetryPolicy{NumRetries: 1}
	session, err := cluster.CreateSession()
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()

	l := load{session: session, events: bufio.NewWriter(events)}
	var group sync.WaitGroup
	for i := range workers {
		group.Add(1)
		go func() {
			defer group.Done()
			if i%4 == 3 {
				l.count()
			} else {
				l.writeAndRead(int64(i))
			}
		}()
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	fmt.Println("ready")
	<-stop
	l.stop.Store(true)
	group.Wait()
	l.events.Flush()
	events.Close()
	l.verify()
}
