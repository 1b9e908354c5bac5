// A relay on gorilla/websocket: two goroutines a pair, each message copied as it comes.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

type pair struct {
	a, b   *websocket.Conn
	joined chan struct{}
}

var (
	table    = map[string]*pair{}
	lock     sync.Mutex
	upgrader = websocket.Upgrader{
		ReadBufferSize:  4096,
		WriteBufferSize: 65536,
		WriteBufferPool: &sync.Pool{},
		CheckOrigin:     func(*http.Request) bool { return true },
	}
)

// pump forwards binary messages until its source ends; then the other side has a moment
// to answer the close frame, and the other pump ends with that.
func pump(from, to *websocket.Conn) {
	defer from.Close()
	for {
		kind, message, err := from.NextReader()
		if err != nil {
			text := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "peer disconnected")
			to.WriteControl(websocket.CloseMessage, text, time.Now().Add(time.Second))
			to.SetReadDeadline(time.Now().Add(5 * time.Second))
			return
		}
		if kind != websocket.BinaryMessage {
			continue
		}
		out, err := to.NextWriter(kind)
		if err != nil {
			return
		}
		if _, err := io.Copy(out, message); err != nil || out.Close() != nil {
			return
		}
	}
}

func serve(response http.ResponseWriter, request *http.Request) {
	code := request.URL.Query().Get("pair")
	lock.Lock()
	joining, first := table[code], false
	if joining == nil {
		joining, first = &pair{joined: make(chan struct{})}, true
		table[code] = joining
	} else if joining.b != nil || joining.a == nil {
		lock.Unlock()
		http.Error(response, "pair is full", http.StatusConflict)
		return
	}
	// The lock is held over the handshake: nothing can take the place meanwhile.
	side, err := upgrader.Upgrade(response, request, nil)
	if err != nil {
		if first {
			delete(table, code)
		}
		lock.Unlock()
		return
	}
	if first {
		joining.a = side
	} else {
		joining.b = side
	}
	lock.Unlock()
	if first {
		<-joining.joined
		pump(joining.a, joining.b)
		lock.Lock()
		delete(table, code)
		lock.Unlock()
	} else {
		close(joining.joined)
		pump(joining.b, joining.a)
	}
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println("listening on", listener.Addr())
	handler := http.HandlerFunc(serve)
	if certificate := os.Getenv("TLS_CERT"); certificate != "" {
		panic(http.ServeTLS(listener, handler, certificate, os.Getenv("TLS_KEY")))
	}
	panic(http.Serve(listener, handler))
}
