// The unmodified, shard-aware Go driver of ScyllaDB creates a schema and reads
// and writes through the embedded node.
//
// usage: gocql HOST PORT SHARDS
package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/gocql/gocql"
)

func expect(what string, got, want any) {
	if !reflect.DeepEqual(got, want) {
		log.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func must(what string, err error) {
	if err != nil {
		log.Fatalf("%s: %v", what, err)
	}
}

func main() {
	host := os.Args[1]
	port, err := strconv.Atoi(os.Args[2])
	must("port", err)
	shards, err := strconv.Atoi(os.Args[3])
	must("shards", err)

	cluster := gocql.NewCluster(host)
	cluster.Port = port
	cluster.ProtoVersion = 4
	cluster.Consistency = gocql.Quorum
	cluster.Timeout = 10 * time.Second
	cluster.PoolConfig.HostSelectionPolicy =
		gocql.TokenAwareHostPolicy(gocql.RoundRobinHostPolicy())
	session, err := cluster.CreateSession()
	must("session", err)
	defer session.Close()

	must("keyspace", session.Query(`CREATE KEYSPACE IF NOT EXISTS gocql WITH
		replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`).Exec())
	must("table", session.Query(`CREATE TABLE IF NOT EXISTS gocql.items (
		owner text, at timestamp, id int, tags set<text>, attributes map<text, int>,
		pair tuple<int, text>, PRIMARY KEY (owner, at, id))
		WITH CLUSTERING ORDER BY (at DESC, id ASC)`).Exec())

	// Many partitions from many goroutines: every shard's connection is used.
	const owners, each = 64, 20
	at := time.UnixMilli(1740816617423).UTC()
	var wait sync.WaitGroup
	failures := make(chan error, owners*each)
	for o := 0; o < owners; o++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for i := 0; i < each; i++ {
				if err := session.Query(`INSERT INTO gocql.items
					(owner, at, id, tags, attributes) VALUES (?, ?, ?, ?, ?)`,
					fmt.Sprintf("owner%d", o), at.Add(time.Duration(i)*time.Second), i,
					[]string{"a", "b"}, map[string]int{"n": i}).Exec(); err != nil {
					failures <- err
				}
			}
		}()
	}
	wait.Wait()
	close(failures)
	for err := range failures {
		log.Fatalf("insert: %v", err)
	}

	for o := 0; o < owners; o++ {
		iter := session.Query(`SELECT at, id, tags, attributes FROM gocql.items
			WHERE owner = ?`, fmt.Sprintf("owner%d", o)).PageSize(7).Iter()
		var (
			when       time.Time
			id, rows   int
			tags       []string
			attributes map[string]int
		)
		for iter.Scan(&when, &id, &tags, &attributes) {
			want := each - 1 - rows
			expect("order", id, want)
			expect("time", when.UTC(), at.Add(time.Duration(want)*time.Second))
			expect("set", tags, []string{"a", "b"})
			expect("map", attributes, map[string]int{"n": want})
			rows++
		}
		must("select", iter.Close())
		expect("rows over pages", rows, each)
	}

	var left int
	var right string
	must("tuple", session.Query(`INSERT INTO gocql.items (owner, at, id, pair)
		VALUES ('tuple', 0, 0, (5, 'five'))`).Exec())
	must("tuple", session.Query(`SELECT pair FROM gocql.items WHERE
		owner = 'tuple'`).Scan(&left, &right))
	expect("tuple", []any{left, right}, []any{5, "five"})

	existing := map[string]any{}
	claim := `INSERT INTO gocql.items (owner, at, id) VALUES ('claim', 0, 1) IF NOT EXISTS`
	applied, err := session.Query(claim).MapScanCAS(existing)
	must("first claim", err)
	expect("first claim", applied, true)
	applied, err = session.Query(claim).MapScanCAS(existing)
	must("second claim", err)
	expect("second claim", applied, false)

	batch := session.NewBatch(gocql.LoggedBatch)
	for i := 0; i < 10; i++ {
		batch.Query(`INSERT INTO gocql.items (owner, at, id) VALUES (?, ?, ?)`,
			"batch", at, i)
	}
	must("batch", session.ExecuteBatch(batch))
	var count int
	must("count", session.Query(`SELECT COUNT(*) FROM gocql.items WHERE
		owner = 'batch'`).Scan(&count))
	expect("batch", count, 10)

	err = session.Query(`SELECT * FROM gocql.nope`).Exec()
	var failure gocql.RequestError
	if !errors.As(err, &failure) || failure.Code() != gocql.ErrCodeInvalid {
		log.Fatalf("unknown table: %v", err)
	}
	must("drop", session.Query(`DROP KEYSPACE gocql`).Exec())
	fmt.Printf("wrote and read %d rows over %d shards\n", owners*each, shards)
}
