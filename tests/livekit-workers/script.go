package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/livekit/psrpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// report is a part of an EgressInfo or IngressState in protobuf's JSON. The fields that it names replace those of the
// current state, also with their zero value.
type report = json.RawMessage

// egressScript decides what an egress does. The control API sets it for egresses that start later, or for one of them.
type egressScript struct {
	// Refuse answers StartEgress with this error.
	Refuse *refusal `json:"refuse"`
	// Hold delays the answer of StartEgress until the script for later egresses holds no more. livekit-server asks
	// again after 10 s.
	Hold bool `json:"hold"`
	// Recorder joins the room as a hidden participant of kind EGRESS until the egress ends.
	Recorder bool `json:"recorder"`
	// Media records with ffmpeg, and reports what happens. Of the other fields only EndsWithRoom applies then.
	Media bool `json:"media"`
	// OnStart are the states after STARTING; by default ACTIVE.
	OnStart []report `json:"onStart"`
	// OnStop are the states after StopEgress, the first of them before its answer. By default ENDING and COMPLETE, or
	// ABORTED for an egress in STARTING.
	OnStop []report `json:"onStop"`
	// HoldStop delays the answer of StopEgress until the script of the egress holds no more. livekit-server gives up
	// after 3 s.
	HoldStop bool `json:"holdStop"`
	// OnUpdateStream are the states after UpdateStream. By default the results of added and removed URLs.
	OnUpdateStream []report `json:"onUpdateStream"`
	// EndsWithRoom ends the egress as StopEgress does when the recorder loses the room.
	EndsWithRoom bool `json:"endsWithRoom"`
}

func defaultEgressScript() egressScript {
	return egressScript{Recorder: true, EndsWithRoom: true}
}

// ingressScript decides what an ingress does. The control API sets it for pushes and URL ingresses that start later.
type ingressScript struct {
	// Refuse answers StartIngress with this error.
	Refuse *refusal `json:"refuse"`
	// Hold delays the answer of StartIngress until the script holds no more. livekit-server gives up after 3 s.
	Hold bool `json:"hold"`
	// Participant joins the room before the first report of PUBLISHING.
	Participant bool `json:"participant"`
	// Media publishes the source with ffmpeg, and reports what happens. OnPush does not apply then.
	Media bool `json:"media"`
	// OnPush are the states after the start; by default BUFFERING and PUBLISHING.
	OnPush []report `json:"onPush"`
	// OnEnd are the states after the source has ended, the room was closed or the ingress was deleted. By default
	// INACTIVE, or COMPLETE for a URL.
	OnEnd []report `json:"onEnd"`
}

func defaultIngressScript() ingressScript {
	return ingressScript{Participant: true}
}

// refusal is an error of psrpc, which livekit-server hands to its caller.
type refusal struct {
	// Code is one of psrpc's, such as `resource_exhausted`.
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (r *refusal) error() error {
	return psrpc.NewErrorf(psrpc.ErrorCode(r.Code), "%s", r.Message)
}

// scripted holds the current script.
type scripted[S any] struct {
	mu      sync.Mutex
	script  S
	changed chan struct{}
}

func newScripted[S any](script S) *scripted[S] {
	return &scripted[S]{script: script, changed: make(chan struct{})}
}

func (s *scripted[S]) set(script S) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = script
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *scripted[S]) get() S {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.script
}

// await returns the script as soon as it does not hold.
func (s *scripted[S]) await(ctx context.Context, holds func(S) bool) (S, error) {
	for {
		s.mu.Lock()
		script, changed := s.script, s.changed
		s.mu.Unlock()
		if !holds(script) {
			return script, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return script, ctx.Err()
		}
	}
}

// merge sets the fields that a report names and leaves the others. It returns their JSON names.
func merge(message proto.Message, r report) (map[string]bool, error) {
	patch := message.ProtoReflect().New().Interface()
	if err := protojson.Unmarshal(r, patch); err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(r, &fields); err != nil {
		return nil, err
	}
	to, from := message.ProtoReflect(), patch.ProtoReflect()
	named := map[string]bool{}
	for name := range fields {
		field := to.Descriptor().Fields().ByJSONName(name)
		if field == nil {
			return nil, fmt.Errorf("no field %s", name)
		}
		named[name] = true
		set(to, from, field)
	}
	return named, nil
}

func set(to, from protoreflect.Message, field protoreflect.FieldDescriptor) {
	if from.Has(field) {
		to.Set(field, from.Get(field))
	} else {
		to.Clear(field)
	}
}
