// Go's network poller: a goroutine a connection in the server; in the client a
// reader and a writer each, the writer sending whatever was queued since its
// last write.
//
//	go echo
//	go pipelined --port=P --sockets=N --in-flight=W --message=BYTES
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

func main() {
	mode, args := "", map[string]int{}
	for _, arg := range os.Args[1:] {
		name, value, found := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		if !found {
			mode = arg
			continue
		}
		number, err := strconv.Atoi(value)
		if err != nil {
			die(err)
		}
		args[name] = number
	}
	switch mode {
	case "echo":
		echo()
	case "pipelined":
		pipelined(args["port"], args["sockets"], args["in-flight"], args["message"])
	default:
		die("usage: go echo|pipelined --name=value ...")
	}
}

func echo() {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		die(err)
	}
	startReports()
	say(fmt.Sprintf("listening %d", listener.Addr().(*net.TCPAddr).Port))
	for {
		conn, err := listener.Accept()
		if err != nil {
			die(err)
		}
		setReset(conn)
		go func() {
			defer conn.Close()
			buffer := make([]byte, 4096)
			for {
				n, err := conn.Read(buffer)
				if err != nil {
					return
				}
				events.Add(1)
				received.Add(int64(n))
				if _, err := conn.Write(buffer[:n]); err != nil {
					return
				}
			}
		}()
	}
}

const (
	header     = 9
	timedEvery = 64
)

type connection struct {
	conn  net.Conn
	dirty chan struct{} // Room for one: there is something to write.
	mutex sync.Mutex
	queue []byte
}

func (c *connection) push(frame []byte, stream uint16) {
	c.mutex.Lock()
	at := len(c.queue)
	c.queue = append(c.queue, frame...)
	binary.BigEndian.PutUint16(c.queue[at+2:], stream)
	c.mutex.Unlock()
	if at == 0 {
		select {
		case c.dirty <- struct{}{}:
		default:
		}
	}
}

func (c *connection) write() {
	var writing []byte
	for range c.dirty {
		c.mutex.Lock()
		writing, c.queue = c.queue, writing[:0]
		c.mutex.Unlock()
		if _, err := c.conn.Write(writing); err != nil {
			die("the responder went away:", err)
		}
	}
}

func pipelined(port, sockets, inFlight, message int) {
	say("started")
	awaitGo()
	frame := make([]byte, message)
	for i := range frame {
		frame[i] = 'q'
	}
	copy(frame, []byte{4, 0, 0, 0, 0x0a})
	binary.BigEndian.PutUint32(frame[5:], uint32(message-header))
	connections := make([]*connection, sockets)
	for i := range connections {
		address := fmt.Sprintf("127.0.0.%d:%d", 1+i%addresses, port)
		conn, err := net.Dial("tcp4", address)
		if err != nil {
			die(err)
		}
		setReset(conn)
		connections[i] = &connection{conn: conn, dirty: make(chan struct{}, 1)}
	}
	say("connected")
	awaitGo()
	startReports()

	sentNs := make([]int64, inFlight)
	issue := func(stream int) {
		if stream%timedEvery == 0 {
			sentNs[stream] = time.Since(started).Nanoseconds()
		}
		connections[rand.IntN(sockets)].push(frame, uint16(stream))
	}
	for _, c := range connections {
		go c.write()
		go func() {
			buffer := make([]byte, 16384)
			filled := 0
			for {
				n, err := c.conn.Read(buffer[filled:])
				if err == io.EOF || err != nil {
					die("the responder went away:", err)
				}
				events.Add(1)
				received.Add(int64(n))
				filled += n
				rest := buffer[:filled]
				for ; len(rest) >= message; rest = rest[message:] {
					stream := int(binary.BigEndian.Uint16(rest[2:]))
					if rest[0] != 4 || stream >= inFlight {
						die("not an answer")
					}
					if stream%timedEvery == 0 {
						addLatency(uint64(time.Since(started).Nanoseconds() - sentNs[stream]))
					}
					issue(stream)
				}
				filled = copy(buffer, rest)
			}
		}()
	}
	for stream := range inFlight {
		issue(stream)
	}
	select {}
}
