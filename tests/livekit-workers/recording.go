package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/livekit/protocol/livekit"
	"google.golang.org/protobuf/encoding/protojson"
)

// recording is the media of an egress: an encoder and its outputs.
type recording struct {
	encoder *encoder
	folder  string
	started time.Time

	file, segments *sink
	stopUpload     chan struct{}
	upload         *folderUpload

	mu      sync.Mutex
	streams map[string]*sink
}

// record records until StopEgress, the end of the room or the end of the tracks, and reports each state.
func (e *egress) record() {
	input := newInput(e.outputs.source)
	if err := e.join(input.callback()); err != nil {
		e.end(livekit.EgressStatus_EGRESS_FAILED, "the recorder cannot join the room")
		return
	}
	e.mu.Lock()
	recorder := e.recorder
	e.mu.Unlock()
	if recorder == nil {
		return
	}
	input.subscribeToPresent(recorder.Room)
	video, audio := input.await(e.stopping)
	if video == nil && audio == nil {
		if !isClosed(e.stopping) {
			e.end(livekit.EgressStatus_EGRESS_ABORTED, "Start signal not received")
		}
		return
	}
	r, err := e.startRecording(video, audio)
	if err != nil {
		r.discard()
		if !isClosed(e.stopping) {
			log.Printf("egress %s: %v", e.id, err)
			e.end(livekit.EgressStatus_EGRESS_FAILED, "the recording cannot be started")
		}
		return
	}
	if !e.activate(r) {
		r.discard()
		return
	}
	e.mustReport(report(`{}`))
	for _, url := range e.outputs.urls {
		e.startStream(r, url)
	}
	select {
	case <-e.stopping:
	case <-r.encoder.done:
		e.mustReport(report(`{"status": "EGRESS_ENDING"}`))
	}
	ended := time.Now()
	input.stopped.Store(true)
	e.finish(r, ended)
}

// activate sets ACTIVE, unless the egress was stopped in STARTING, which beginStop has reported as ABORTED.
func (e *egress) activate(r *recording) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if isClosed(e.stopping) {
		return false
	}
	e.recording = r
	e.info.Status, e.info.StartedAt = livekit.EgressStatus_EGRESS_ACTIVE, r.started.UnixNano()
	return true
}

func (e *egress) end(status livekit.EgressStatus, message string) {
	e.mustReport(partOf(&livekit.EgressInfo{Status: status, Error: message}))
}

// partOf is a report of the fields that are set.
func partOf(info *livekit.EgressInfo) report {
	body, err := protojson.Marshal(info)
	if err != nil {
		panic(err)
	}
	return report(json.RawMessage(body))
}

// startRecording returns once the encoder has output. The recording of an error is incomplete, or nil.
func (e *egress) startRecording(video, audio *receivedTrack) (*recording, error) {
	folder, err := os.MkdirTemp("", "egress")
	if err != nil {
		return nil, err
	}
	r := &recording{folder: folder, streams: map[string]*sink{}, stopUpload: make(chan struct{})}
	if r.encoder, err = startEncoder(video, audio); err != nil {
		return r, err
	}
	if err := e.startOutputs(r); err != nil {
		return r, err
	}
	select {
	case <-r.encoder.first:
		r.started = time.Now()
		return r, nil
	case <-r.encoder.done:
		return r, errors.New("the encoder has no output")
	}
}

// discard ends the encoder and the outputs, and deletes what was not uploaded.
func (r *recording) discard() {
	if r == nil {
		return
	}
	close(r.stopUpload)
	if r.encoder != nil {
		r.encoder.kill()
	}
	_ = os.RemoveAll(r.folder)
}

func (e *egress) startOutputs(r *recording) (err error) {
	if file := e.outputs.file; file != nil {
		if r.file, err = startFile(r.pathOf(file)); err != nil {
			return err
		}
		r.encoder.add(r.file)
	}
	if segments := e.outputs.segments; segments != nil {
		folder := ""
		if segments.storage.s3 != nil {
			folder = filepath.Join(r.folder, "segments")
			r.upload = &folderUpload{segments.storage, folder, map[string]time.Time{}, segments.LivePlaylistName}
		}
		if r.segments, err = startSegments(folder, segments.SegmentedFileOutput); err != nil {
			return err
		}
		r.encoder.add(r.segments)
		if r.upload != nil {
			go r.upload.run(r.stopUpload)
		}
	}
	return nil
}

// pathOf is where ffmpeg writes a file before it is uploaded, or its final path.
func (r *recording) pathOf(file *fileOutput) string {
	if file.storage.s3 == nil {
		return file.path
	}
	return filepath.Join(r.folder, filepath.Base(file.path))
}

// startStream starts an RTMP output. An output that ends by itself is reported as failed.
func (e *egress) startStream(r *recording, url string) {
	s, err := startRTMP(url)
	if err != nil {
		log.Printf("egress %s: %v", e.id, err)
		return
	}
	r.mu.Lock()
	r.streams[url] = s
	r.mu.Unlock()
	r.encoder.add(s)
	go func() {
		<-s.done
		r.mu.Lock()
		running := r.streams[url] == s && !isClosed(r.encoder.done)
		r.mu.Unlock()
		if running && !isClosed(e.stopping) {
			e.failStream(url, s.failure)
		}
	}()
}

func (e *egress) failStream(url string, failure error) {
	e.mu.Lock()
	for _, stream := range e.info.StreamResults {
		if stream.Url == redactedURL(url) && stream.Status == livekit.StreamInfo_ACTIVE {
			finish(stream, time.Now().UnixNano())
			stream.Status, stream.Error = livekit.StreamInfo_FAILED, fmt.Sprint("output failed: ", failure)
		}
	}
	e.mu.Unlock()
	e.mustReport(report(`{}`))
}

// updateSinks starts and ends RTMP outputs, after updateStreams has changed their results.
func (e *egress) updateSinks(r *livekit.UpdateStreamRequest) {
	e.mu.Lock()
	recording := e.recording
	e.mu.Unlock()
	if recording == nil {
		return
	}
	for _, url := range r.RemoveOutputUrls {
		recording.mu.Lock()
		s := recording.streams[url]
		delete(recording.streams, url)
		recording.mu.Unlock()
		if s != nil {
			recording.encoder.remove(s)
		}
	}
	for _, url := range r.AddOutputUrls {
		e.startStream(recording, url)
	}
}
