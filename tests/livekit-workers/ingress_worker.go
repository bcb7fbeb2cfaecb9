package main

import (
	"context"
	"errors"
	"log"
	"sync"

	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/rpc"
	"github.com/livekit/protocol/utils/guid"
)

var (
	errPushRefused = errors.New("no enabled ingress has this stream key")
	errPushExists  = errors.New("the stream key is in use")
)

// ingressWorker answers livekit-server's requests to start URL ingresses, and serves pushes to RTMP ingresses.
type ingressWorker struct {
	bus    *bus
	rooms  rooms
	calls  *callLog
	script *scripted[ingressScript]
	// rtmp is the URL of the RTMP server's application, from which media are read.
	rtmp string
	// rtmpControl is the URL of nginx-rtmp's control module, or empty.
	rtmpControl string

	mu sync.Mutex
	// all ingresses by id, each as of its last push.
	all map[string]*ingress
}

func newIngressWorker(b *bus, rooms rooms, calls *callLog, s settings) (*ingressWorker, error) {
	w := &ingressWorker{bus: b, rooms: rooms, calls: calls, all: map[string]*ingress{}}
	w.rtmp, w.rtmpControl = s.rtmp, s.rtmpControl
	w.script = newScripted(defaultIngressScript())
	if !s.ingress {
		return w, nil
	}
	server, err := rpc.NewIngressInternalServer(w, b)
	if err != nil {
		return nil, err
	}
	ready := guid.New("ready_")
	for _, topic := range []string{"", ready} {
		if err := server.RegisterListActiveIngressTopic(topic); err != nil {
			return nil, err
		}
	}
	return w, b.awaitSubscription("*" + ready + "*")
}

// StartIngressAffinity tells livekit-server that this worker has capacity.
func (w *ingressWorker) StartIngressAffinity(context.Context, *rpc.StartIngressRequest) float32 {
	return 1
}

func (w *ingressWorker) ListActiveIngress(
	context.Context, *rpc.ListActiveIngressRequest,
) (*rpc.ListActiveIngressResponse, error) {
	response := &rpc.ListActiveIngressResponse{}
	for _, i := range w.list() {
		if !i.isEnded() {
			response.IngressIds = append(response.IngressIds, i.id)
		}
	}
	return response, nil
}

// StartIngress starts a URL ingress.
func (w *ingressWorker) StartIngress(ctx context.Context, r *rpc.StartIngressRequest) (*livekit.IngressInfo, error) {
	w.calls.add("StartIngress", r.Info.IngressId, r)
	script, err := w.script.await(ctx, func(s ingressScript) bool { return s.Hold })
	if err != nil {
		return nil, err
	}
	if script.Refuse != nil {
		return nil, script.Refuse.error()
	}
	// livekit-server leaves it to the worker to store a URL ingress.
	if _, err := w.bus.io.CreateIngress(ctx, r.Info); err != nil {
		return nil, err
	}
	if _, err := w.start(r.Info, script); err != nil {
		return nil, err
	}
	return r.Info, nil
}

// push starts the RTMP ingress that has the stream key.
func (w *ingressWorker) push(ctx context.Context, streamKey string) (*ingress, error) {
	response, err := w.bus.io.GetIngressInfo(ctx, &rpc.GetIngressInfoRequest{StreamKey: streamKey})
	if err != nil {
		log.Printf("push refused: %v", err)
		return nil, errPushRefused
	}
	info := response.Info
	if info.Enabled != nil && !*info.Enabled {
		return nil, errPushRefused
	}
	if running := w.find(info.IngressId); running != nil && !running.isEnded() {
		return nil, errPushExists
	}
	return w.start(info, w.script.get())
}

func (w *ingressWorker) start(info *livekit.IngressInfo, script ingressScript) (*ingress, error) {
	i := newIngress(w, info, script)
	if err := i.register(); err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.all[i.id] = i
	w.mu.Unlock()
	go i.start()
	return i, nil
}

func (w *ingressWorker) find(id string) *ingress {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all[id]
}

// findByKey returns the ingress of a running push.
func (w *ingressWorker) findByKey(streamKey string) *ingress {
	for _, i := range w.list() {
		if i.info.StreamKey == streamKey && !i.isEnded() {
			return i
		}
	}
	return nil
}

func (w *ingressWorker) list() []*ingress {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := []*ingress{}
	for _, i := range w.all {
		all = append(all, i)
	}
	return all
}
