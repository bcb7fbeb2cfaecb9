package main

import (
	"sync/atomic"

	egresslib "github.com/livekit/protocol/egress"
	ingresslib "github.com/livekit/protocol/ingress"
	"github.com/livekit/protocol/livekit"
	lksdk "github.com/livekit/server-sdk-go/v2"
)

// rooms is livekit-server as its participants see it.
type rooms struct {
	url, apiKey, apiSecret string
}

// participant is a worker's participant in a room.
type participant struct {
	*lksdk.Room
	leaving atomic.Bool
}

// joinAsRecorder joins as a hidden participant of kind EGRESS whose identity is the egress's id.
func (r rooms) joinAsRecorder(room, egressID string, callback *lksdk.RoomCallback, lost func()) (*participant, error) {
	token, err := egresslib.BuildEgressToken(egressID, r.apiKey, r.apiSecret, room)
	if err != nil {
		return nil, err
	}
	return r.join(token, callback, lost)
}

// joinAsIngress joins as the ingress's participant, of kind INGRESS.
func (r rooms) joinAsIngress(info *livekit.IngressInfo, lost func()) (*participant, error) {
	token, err := ingresslib.BuildIngressToken(r.apiKey, r.apiSecret, info.RoomName, info.ParticipantIdentity,
		info.ParticipantName, info.ParticipantMetadata, info.IngressId)
	if err != nil {
		return nil, err
	}
	return r.join(token, lksdk.NewRoomCallback(), lost)
}

// join connects to a room. It calls `lost` when the connection ends in another way than by leave.
func (r rooms) join(token string, callback *lksdk.RoomCallback, lost func()) (*participant, error) {
	p := &participant{}
	callback.OnDisconnected = func() {
		if !p.leaving.Load() {
			lost()
		}
	}
	room, err := lksdk.ConnectToRoomWithToken(r.url, token, callback, lksdk.WithAutoSubscribe(false))
	p.Room = room
	return p, err
}

// leave is idempotent and does nothing for nil.
func (p *participant) leave() {
	if p != nil && p.leaving.CompareAndSwap(false, true) {
		p.Disconnect()
	}
}
