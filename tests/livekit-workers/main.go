// Command livekit-workers stands in for LiveKit's egress and ingress programs in tests. livekit-server reaches it over
// its Redis bus, as it reaches LiveKit's own programs; a test decides over HTTP what the workers do.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"

	"github.com/go-logr/logr"
	"github.com/livekit/protocol/logger"
	lksdk "github.com/livekit/server-sdk-go/v2"
)

type settings struct {
	redis, livekit, control string
	rtmp, rtmpControl       string
	apiKey, apiSecret       string
	egress, ingress         bool
}

func parseSettings() settings {
	var s settings
	flag.StringVar(&s.redis, "redis", "127.0.0.1:6379", "address of livekit-server's Redis")
	flag.StringVar(&s.livekit, "livekit", "ws://127.0.0.1:7880", "URL of livekit-server")
	flag.StringVar(&s.apiKey, "api-key", "devkey", "API key of livekit-server")
	flag.StringVar(&s.apiSecret, "api-secret", "secret", "secret of the API key")
	flag.StringVar(&s.control, "control", "127.0.0.1:0", "address of the control API; port 0 means any free port")
	flag.StringVar(&s.rtmp, "rtmp", "", "URL of an RTMP server's application that calls /on_publish, for pushes with media")
	flag.StringVar(&s.rtmpControl, "rtmp-control", "", "URL of nginx-rtmp's control module, to end pushes")
	flag.BoolVar(&s.egress, "egress", true, "serve egress")
	flag.BoolVar(&s.ingress, "ingress", true, "serve ingress")
	flag.Parse()
	return s
}

func main() {
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	// The SDK logs each state of its connections.
	lksdk.SetLogger(logger.LogRLogger(logr.Discard()))
	if err := run(parseSettings()); err != nil {
		log.Fatal(err)
	}
}

// run registers the workers and serves the control API. It prints the API's address once both are ready.
func run(s settings) error {
	bus, err := connectBus(s.redis)
	if err != nil {
		return err
	}
	rooms := rooms{url: s.livekit, apiKey: s.apiKey, apiSecret: s.apiSecret}
	calls := &callLog{}
	egresses, err := newEgressWorker(bus, rooms, calls, s.egress)
	if err != nil {
		return err
	}
	ingresses, err := newIngressWorker(bus, rooms, calls, s)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", s.control)
	if err != nil {
		return err
	}
	fmt.Printf("control http://%s\n", listener.Addr())
	return http.Serve(listener, control{calls, egresses, ingresses}.routes())
}
