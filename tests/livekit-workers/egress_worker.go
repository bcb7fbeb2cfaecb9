package main

import (
	"context"
	"log"
	"sync"

	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/rpc"
	"github.com/livekit/protocol/utils/guid"
)

// egressWorker answers livekit-server's requests to start egresses.
type egressWorker struct {
	bus    *bus
	rooms  rooms
	calls  *callLog
	script *scripted[egressScript]

	mu sync.Mutex
	// all egresses by id. They stay after their end, because reports may come late.
	all map[string]*egress
}

func newEgressWorker(b *bus, rooms rooms, calls *callLog, serves bool) (*egressWorker, error) {
	w := &egressWorker{bus: b, rooms: rooms, calls: calls, all: map[string]*egress{}}
	w.script = newScripted(defaultEgressScript())
	if !serves {
		return w, nil
	}
	server, err := rpc.NewEgressInternalServer(w, b)
	if err != nil {
		return nil, err
	}
	// The topic of this process comes last, so that its subscription proves those before it.
	ready := guid.New("ready_")
	for _, register := range []func() error{
		func() error { return server.RegisterStartEgressTopic("") },
		func() error { return server.RegisterListActiveEgressTopic("") },
		func() error { return server.RegisterListActiveEgressTopic(ready) },
	} {
		if err := register(); err != nil {
			return nil, err
		}
	}
	return w, b.awaitSubscription("*" + ready + "*")
}

// StartEgressAffinity tells livekit-server that this worker has capacity.
func (w *egressWorker) StartEgressAffinity(context.Context, *rpc.StartEgressRequest) float32 {
	return 1
}

func (w *egressWorker) ListActiveEgress(
	context.Context, *rpc.ListActiveEgressRequest,
) (*rpc.ListActiveEgressResponse, error) {
	response := &rpc.ListActiveEgressResponse{}
	for _, e := range w.list() {
		if !isTerminal(e.snapshot().Status) {
			response.EgressIds = append(response.EgressIds, e.id)
		}
	}
	return response, nil
}

func (w *egressWorker) StartEgress(ctx context.Context, r *rpc.StartEgressRequest) (*livekit.EgressInfo, error) {
	w.calls.add("StartEgress", r.EgressId, r)
	script, err := w.script.await(ctx, func(s egressScript) bool { return s.Hold })
	if err != nil {
		return nil, err
	}
	if script.Refuse != nil {
		return nil, script.Refuse.error()
	}
	info, outputs, err := newEgressInfo(r)
	if err != nil {
		return nil, err
	}
	e := &egress{id: r.EgressId, worker: w, script: newScripted(script), outputs: outputs, info: info,
		stopping: make(chan struct{})}
	if err := e.register(); err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.all[e.id] = e
	w.mu.Unlock()
	// livekit-server stores the egress after the answer, if it is not there yet. A report before that would make it
	// leave out `egress_started`.
	if _, err := w.bus.io.CreateEgress(ctx, e.snapshot()); err != nil {
		return nil, err
	}
	log.Printf("egress %s starts in room %q", e.id, info.RoomName)
	go e.start()
	return e.snapshot(), nil
}

func (w *egressWorker) find(id string) *egress {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all[id]
}

func (w *egressWorker) list() []*egress {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := []*egress{}
	for _, e := range w.all {
		all = append(all, e)
	}
	return all
}
