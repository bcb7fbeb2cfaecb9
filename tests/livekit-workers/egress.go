package main

import (
	"context"
	"log"
	"slices"
	"sync"
	"time"

	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/rpc"
	"github.com/livekit/psrpc"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"google.golang.org/protobuf/proto"
)

// egress is one egress of the worker.
type egress struct {
	id      string
	worker  *egressWorker
	script  *scripted[egressScript]
	outputs outputs
	handler rpc.EgressHandlerServer

	// reporting keeps reports in order on the bus.
	reporting sync.Mutex

	mu       sync.Mutex
	info     *livekit.EgressInfo
	recorder *participant
	// recording is set while media are recorded.
	recording *recording
	// stopping is closed by StopEgress and by the end of the room; it ends the reports of the start.
	stopping chan struct{}
}

// register subscribes to the requests for this egress.
func (e *egress) register() error {
	handler, err := rpc.NewEgressHandlerServer(e, e.worker.bus)
	if err != nil {
		return err
	}
	e.handler = handler
	registrations := []func(string) error{
		handler.RegisterStopEgressTopic, handler.RegisterUpdateEgressTopic, handler.RegisterUpdateStreamTopic,
	}
	for _, register := range registrations {
		if err := register(e.id); err != nil {
			return err
		}
	}
	return e.worker.bus.awaitSubscription("EgressHandler|UpdateStream|" + e.id + "|REQ")
}

// start lets the recorder join and reports the states after STARTING.
func (e *egress) start() {
	script := e.script.get()
	if script.Media {
		e.record()
		return
	}
	if script.Recorder && e.snapshot().RoomName != "" {
		if err := e.join(lksdk.NewRoomCallback()); err != nil {
			e.mustReport(report(`{"status": "EGRESS_FAILED", "error": "the recorder cannot join the room"}`))
			return
		}
	}
	reports := script.OnStart
	if reports == nil {
		reports = []report{report(`{"status": "EGRESS_ACTIVE"}`)}
	}
	for _, r := range reports {
		if isClosed(e.stopping) {
			return
		}
		e.mustReport(r)
	}
}

func (e *egress) join(callback *lksdk.RoomCallback) error {
	recorder, err := e.worker.rooms.joinAsRecorder(e.snapshot().RoomName, e.id, callback, e.onRoomLost)
	if err != nil {
		log.Printf("egress %s cannot join: %v", e.id, err)
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.recorder = recorder
	return nil
}

func (e *egress) onRoomLost() {
	if e.script.get().EndsWithRoom {
		if reports := e.beginStop(); len(reports) > 0 {
			go e.mustReport(reports...)
		}
	}
}

// leave makes the recorder leave the room.
func (e *egress) leave() {
	e.mu.Lock()
	recorder := e.recorder
	e.recorder = nil
	e.mu.Unlock()
	recorder.leave()
}

func (e *egress) StopEgress(ctx context.Context, r *livekit.StopEgressRequest) (*livekit.EgressInfo, error) {
	e.worker.calls.add("StopEgress", e.id, r)
	if _, err := e.script.await(ctx, func(s egressScript) bool { return s.HoldStop }); err != nil {
		return nil, err
	}
	if reports := e.beginStop(); len(reports) > 0 {
		e.mustReport(reports[0])
		go e.mustReport(reports[1:]...)
	}
	return e.snapshot(), nil
}

// beginStop returns the reports of the end, the first time that it is called.
func (e *egress) beginStop() []report {
	e.mu.Lock()
	defer e.mu.Unlock()
	if isClosed(e.stopping) || isTerminal(e.info.Status) {
		return nil
	}
	close(e.stopping)
	script := e.script.get()
	if script.OnStop != nil && !script.Media {
		return script.OnStop
	}
	if e.info.Status == livekit.EgressStatus_EGRESS_STARTING {
		return []report{report(`{"status": "EGRESS_ABORTED", "error": "Stop called before pipeline could start"}`)}
	}
	if script.Media {
		// record reports the end.
		return []report{report(`{"status": "EGRESS_ENDING"}`)}
	}
	return []report{report(`{"status": "EGRESS_ENDING"}`), report(`{"status": "EGRESS_COMPLETE"}`)}
}

func isClosed(channel <-chan struct{}) bool {
	select {
	case <-channel:
		return true
	default:
		return false
	}
}

func (e *egress) UpdateEgress(_ context.Context, r *livekit.UpdateEgressRequest) (*livekit.EgressInfo, error) {
	e.worker.calls.add("UpdateEgress", e.id, r)
	return e.snapshot(), nil
}

// UpdateStream adds and removes RTMP outputs. An unknown URL is an error, as in LiveKit's egress.
func (e *egress) UpdateStream(_ context.Context, r *livekit.UpdateStreamRequest) (*livekit.EgressInfo, error) {
	e.worker.calls.add("UpdateStream", e.id, r)
	script := e.script.get()
	if script.OnUpdateStream != nil && !script.Media {
		e.mustReport(script.OnUpdateStream...)
		return e.snapshot(), nil
	}
	if err := e.updateStreams(r); err != nil {
		return nil, err
	}
	if script.Media {
		e.updateSinks(r)
	}
	e.mustReport(report(`{}`))
	return e.snapshot(), nil
}

func (e *egress) updateStreams(r *livekit.UpdateStreamRequest) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now().UnixNano()
	for _, url := range r.RemoveOutputUrls {
		i := slices.IndexFunc(e.info.StreamResults, func(s *livekit.StreamInfo) bool {
			return s.Url == redactedURL(url) && s.Status == livekit.StreamInfo_ACTIVE
		})
		if i < 0 {
			return psrpc.NewErrorf(psrpc.NotFound, "stream not found: %s", redactedURL(url))
		}
		finish(e.info.StreamResults[i], now)
	}
	for _, url := range r.AddOutputUrls {
		e.info.StreamResults = append(e.info.StreamResults, newStream(url, now))
	}
	return nil
}

func (e *egress) snapshot() *livekit.EgressInfo {
	e.mu.Lock()
	defer e.mu.Unlock()
	return proto.CloneOf(e.info)
}

// mustReport reports states that no caller waits for; their errors are logged.
func (e *egress) mustReport(reports ...report) {
	for _, r := range reports {
		if err := e.report(r); err != nil {
			log.Printf("egress %s: %v", e.id, err)
		}
	}
}

// report changes the state and sends it to livekit-server. The recorder leaves as soon as the egress is ending.
func (e *egress) report(r report) error {
	e.reporting.Lock()
	defer e.reporting.Unlock()
	info, err := e.apply(r)
	if err != nil {
		return err
	}
	log.Printf("egress %s reports %s", e.id, info.Status)
	if info.Status >= livekit.EgressStatus_EGRESS_ENDING {
		e.leave()
	}
	if isTerminal(info.Status) {
		// Not here: it waits for the request that this report may belong to.
		go e.handler.Shutdown()
	}
	_, err = e.worker.bus.io.UpdateEgress(context.Background(), info)
	return err
}

func (e *egress) apply(r report) (*livekit.EgressInfo, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	named, err := merge(e.info, r)
	if err != nil {
		return nil, err
	}
	e.outputs.complete(e.info, named)
	return proto.CloneOf(e.info), nil
}
