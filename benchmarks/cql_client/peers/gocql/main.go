// scylladb/gocql, token and shard aware, as its documentation sets it up.
//
//	scylladb-gocql --port=P --in-flight=W
//
// A goroutine for each request in flight.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gocql/gocql"
)

const (
	query = "SELECT key, author, uri, body, created_at, likes, score, " +
		"pinned, id, digest FROM bench.posts WHERE key = ?"
	likes      = 42 // Of every row.
	timedEvery = 64
)

func main() {
	args := map[string]int{}
	for _, arg := range os.Args[1:] {
		name, value, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		number, err := strconv.Atoi(value)
		if err != nil {
			die(err)
		}
		args[name] = number
	}
	say("started")
	awaitGo()
	session := connect(args["port"])
	say("connected")
	awaitGo()
	startReports()
	for number := range args["in-flight"] {
		go ask(session, number)
	}
	select {}
}

func connect(port int) *gocql.Session {
	cluster := gocql.NewCluster("127.0.0.1")
	cluster.Port = port
	cluster.ProtoVersion = 4
	cluster.Consistency = gocql.LocalOne
	cluster.PoolConfig.HostSelectionPolicy =
		gocql.TokenAwareHostPolicy(gocql.RoundRobinHostPolicy())
	// As the other clients: columns come with PREPARED, not with each answer.
	cluster.DisableSkipMetadata = false
	cluster.Timeout = 30 * time.Second
	cluster.ConnectTimeout = 20 * time.Second
	session, err := cluster.CreateSession()
	if err != nil {
		die(err)
	}
	return session
}

// The keys of workload.h, elsewhere in their sequence for each number.
type keys uint64

func newKeys(number int) keys {
	k := keys(0x9e3779b97f4a7c15 + uint64(number)*0xbf58476d1ce4e5b9)
	k.next()
	return k
}

func (k *keys) next() int64 {
	*k ^= *k << 13
	*k ^= *k >> 7
	*k ^= *k << 17
	return int64(*k)
}

func ask(session *gocql.Session, number int) {
	timed := number%timedEvery == 0
	keys := newKeys(number)
	for {
		key := keys.next()
		var began time.Time
		if timed {
			began = time.Now()
		}
		var row struct {
			key               int64
			author, uri, body string
			created           time.Time
			likes             int
			score             float64
			pinned            bool
			id                gocql.UUID
			digest            []byte
		}
		err := session.Query(query, key).Idempotent(true).Scan(&row.key, &row.author,
			&row.uri, &row.body, &row.created, &row.likes, &row.score,
			&row.pinned, &row.id, &row.digest)
		if err != nil {
			die(err)
		}
		if row.key != key || row.likes != likes {
			die(fmt.Sprint("not the row that was asked for: ", row.key))
		}
		if timed {
			addLatency(uint64(time.Since(began).Nanoseconds()))
		}
		events.Add(1)
	}
}
