package main

import (
	"context"
	"log"
	"strings"
	"sync"
	"time"

	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/rpc"
	"github.com/livekit/psrpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// ingress is one push to an RTMP ingress, or one URL ingress.
type ingress struct {
	id      string
	worker  *ingressWorker
	script  ingressScript
	info    *livekit.IngressInfo
	handler rpc.IngressHandlerServer

	// reporting keeps reports in order on the bus.
	reporting sync.Mutex

	mu          sync.Mutex
	state       *livekit.IngressState
	participant *participant
	ended       bool
	// stopped is closed when the ingress has ended.
	stopped chan struct{}
}

func newIngress(w *ingressWorker, info *livekit.IngressInfo, script ingressScript) *ingress {
	state := &livekit.IngressState{
		StartedAt:  time.Now().UnixNano(),
		ResourceId: strings.Replace(info.IngressId, "IN_", "RS_", 1),
	}
	return &ingress{id: info.IngressId, worker: w, script: script, info: info, state: state,
		stopped: make(chan struct{})}
}

// register subscribes to the requests for this ingress.
func (i *ingress) register() error {
	handler, err := rpc.NewIngressHandlerServer(i, i.worker.bus)
	if err != nil {
		return err
	}
	i.handler = handler
	for _, register := range []func(string) error{handler.RegisterDeleteIngressTopic, handler.RegisterUpdateIngressTopic} {
		if err := register(i.id); err != nil {
			return err
		}
	}
	return i.worker.bus.awaitSubscription("IngressHandler|UpdateIngress|" + i.id + "|REQ")
}

// start reports the states after the start.
func (i *ingress) start() {
	if i.script.Media {
		i.publish()
		return
	}
	reports := i.script.OnPush
	if reports == nil {
		reports = []report{report(`{"status": "ENDPOINT_BUFFERING"}`), report(`{"status": "ENDPOINT_PUBLISHING"}`)}
	}
	for _, r := range reports {
		if i.isEnded() {
			return
		}
		i.mustReport(r)
	}
}

// end makes the participant leave and reports the last states, the first time that it is called.
func (i *ingress) end() {
	i.mu.Lock()
	first := !i.ended
	i.ended = true
	i.mu.Unlock()
	if !first {
		return
	}
	close(i.stopped)
	i.leave()
	i.mustReport(i.lastReports()...)
	// Not in a request of the handler, because it waits for that.
	go i.handler.Shutdown()
}

func (i *ingress) lastReports() []report {
	if i.script.OnEnd != nil {
		return i.script.OnEnd
	}
	if i.info.InputType == livekit.IngressInput_URL_INPUT {
		return []report{report(`{"status": "ENDPOINT_COMPLETE"}`)}
	}
	return []report{report(`{"status": "ENDPOINT_INACTIVE"}`)}
}

func (i *ingress) isEnded() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.ended
}

// join connects the participant once.
func (i *ingress) join() error {
	i.mu.Lock()
	joined := i.participant != nil
	i.mu.Unlock()
	if joined {
		return nil
	}
	p, err := i.worker.rooms.joinAsIngress(i.info, func() { go i.cut() })
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.participant = p
	i.state.RoomId = p.SID()
	return nil
}

// leave makes the participant leave the room.
func (i *ingress) leave() {
	i.mu.Lock()
	p := i.participant
	i.mu.Unlock()
	p.leave()
}

func (i *ingress) UpdateIngress(_ context.Context, r *livekit.UpdateIngressRequest) (*livekit.IngressState, error) {
	i.worker.calls.add("UpdateIngress", i.id, r)
	return i.snapshot(), nil
}

func (i *ingress) DeleteIngress(_ context.Context, r *livekit.DeleteIngressRequest) (*livekit.IngressState, error) {
	i.worker.calls.add("DeleteIngress", i.id, r)
	go i.cut()
	return i.snapshot(), nil
}

// DeleteWHIPResource is part of psrpc's interface and has no topic here: livekit-server serves WHIP itself.
func (i *ingress) DeleteWHIPResource(context.Context, *rpc.DeleteWHIPResourceRequest) (*emptypb.Empty, error) {
	return nil, psrpc.ErrUnimplemented
}

func (i *ingress) ICERestartWHIPResource(
	context.Context, *rpc.ICERestartWHIPResourceRequest,
) (*rpc.ICERestartWHIPResourceResponse, error) {
	return nil, psrpc.ErrUnimplemented
}

func (i *ingress) WHIPRTCConnectionNotify(
	context.Context, *rpc.WHIPRTCConnectionNotifyRequest,
) (*emptypb.Empty, error) {
	return nil, psrpc.ErrUnimplemented
}

func (i *ingress) snapshot() *livekit.IngressState {
	i.mu.Lock()
	defer i.mu.Unlock()
	return proto.CloneOf(i.state)
}

// mustReport reports states that no caller waits for; their errors are logged.
func (i *ingress) mustReport(reports ...report) {
	for _, r := range reports {
		if err := i.report(r); err != nil {
			log.Printf("ingress %s: %v", i.id, err)
		}
	}
}

// report changes the state and sends it to livekit-server. Before PUBLISHING the participant joins the room.
func (i *ingress) report(r report) error {
	i.reporting.Lock()
	defer i.reporting.Unlock()
	state, err := i.apply(r)
	if err != nil {
		return err
	}
	publishes := state.Status == livekit.IngressState_ENDPOINT_PUBLISHING
	if publishes && i.script.Participant && !i.script.Media {
		if err := i.join(); err != nil {
			state, err = i.apply(report(`{"status": "ENDPOINT_ERROR", "error": "the participant cannot join the room"}`))
		} else {
			state, err = i.apply(report(`{}`))
		}
		if err != nil {
			return err
		}
	}
	log.Printf("ingress %s reports %s", i.id, state.Status)
	request := &rpc.UpdateIngressStateRequest{IngressId: i.id, State: state}
	_, err = i.worker.bus.io.UpdateIngressState(context.Background(), request)
	return err
}

func (i *ingress) apply(r report) (*livekit.IngressState, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	named, err := merge(i.state, r)
	if err != nil {
		return nil, err
	}
	if !named["updatedAt"] {
		i.state.UpdatedAt = time.Now().UnixNano()
	}
	status := i.state.Status
	running := status == livekit.IngressState_ENDPOINT_BUFFERING || status == livekit.IngressState_ENDPOINT_PUBLISHING
	if !named["endedAt"] {
		i.state.EndedAt = 0
		if !running {
			i.state.EndedAt = i.state.UpdatedAt
		}
	}
	return proto.CloneOf(i.state), nil
}
