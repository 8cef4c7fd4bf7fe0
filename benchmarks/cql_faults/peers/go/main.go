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

type account struct {
	acknowledged    []int64
	attempts, added int64
}

type load struct {
	session *gocql.Session
	lock    sync.Mutex
	events  *bufio.Writer
	stop    atomic.Bool
	lost    atomic.Int64
	foreign atomic.Int64
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

func (l *load) work(worker int64, a *account) {
	for number := int64(0); !l.stop.Load(); number++ {
		key := rowKey(worker, number)
		begin := time.Now()
		err := l.session.Query(writeRow, key, rowValue(key)).Idempotent(true).Exec()
		l.record("w", begin, err)
		if err == nil {
			a.acknowledged = append(a.acknowledged, key)
		}
		if len(a.acknowledged) > 0 && !l.stop.Load() {
			begin = time.Now()
			err = l.read(a.acknowledged[rand.Intn(len(a.acknowledged))])
			l.record("r", begin, err)
		}
		if l.stop.Load() {
			return
		}
		a.attempts++
		begin = time.Now()
		err = l.session.Query(addOne, worker).Exec()
		l.record("c", begin, err)
		if err == nil {
			a.added++
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

func (l *load) verify(accounts []account) {
	result := map[string]int64{"lost_meanwhile": l.lost.Swap(0),
		"counters": int64(len(accounts)), "wrong_counters": 0, "acknowledged": 0}
	for worker, a := range accounts {
		for _, key := range a.acknowledged {
			patiently(func() error { return l.read(key) })
			result["acknowledged"]++
		}
		var count int64
		patiently(func() error {
			err := l.session.Query(readCount, int64(worker)).Scan(&count)
			if errors.Is(err, gocql.ErrNotFound) {
				return nil
			}
			return err
		})
		if count < a.added || count > a.attempts {
			result["wrong_counters"]++
		}
	}
	result["lost"] = l.lost.Load()
	result["foreign"] = l.foreign.Load()
	text, _ := json.Marshal(result)
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
	accounts := make([]account, workers)
	var group sync.WaitGroup
	for i := range accounts {
		group.Add(1)
		go func() {
			defer group.Done()
			l.work(int64(i), &accounts[i])
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
	l.verify(accounts)
}
