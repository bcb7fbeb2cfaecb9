package main

import (
	"context"
	"errors"
	"time"

	"github.com/livekit/protocol/rpc"
	"github.com/livekit/psrpc"
	"github.com/redis/go-redis/v9"
)

// bus is livekit-server's message bus on Redis.
type bus struct {
	redis redis.UniversalClient
	psrpc.MessageBus
	// io stores states in livekit-server, which posts webhooks about them.
	io rpc.IOInfoClient
}

func connectBus(address string) (*bus, error) {
	client := redis.NewUniversalClient(&redis.UniversalOptions{Addrs: []string{address}})
	messages := psrpc.NewRedisMessageBus(client)
	io, err := rpc.NewIOInfoClient(messages)
	if err != nil {
		return nil, err
	}
	return &bus{client, messages, io}, nil
}

// awaitSubscription waits until Redis has a subscription to a channel that matches the pattern. psrpc subscribes in the
// background and in order, so that all subscriptions before this one exist too. Without it, a request that comes right
// after the registration would be lost.
func (b *bus) awaitSubscription(pattern string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		channels, err := b.redis.PubSubChannels(ctx, pattern).Result()
		if err != nil {
			return err
		}
		if len(channels) > 0 {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return errors.New("no subscription to " + pattern)
}
