package main

import (
	"encoding/json"
	"sync"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// call is a request of livekit-server to a worker.
type call struct {
	Method string `json:"method"`
	// ID of the egress or ingress.
	ID      string          `json:"id"`
	Request json.RawMessage `json:"request"`
}

// callLog keeps all calls in the order of their arrival.
type callLog struct {
	mu    sync.Mutex
	calls []call
}

func (l *callLog) add(method, id string, request proto.Message) {
	body, err := protojson.Marshal(request)
	if err != nil {
		body = []byte("null")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, call{method, id, body})
}

// list returns the calls of a method and an id, each of which may be empty for all.
func (l *callLog) list(method, id string) []call {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := []call{}
	for _, c := range l.calls {
		if (method == "" || c.Method == method) && (id == "" || c.ID == id) {
			found = append(found, c)
		}
	}
	return found
}
