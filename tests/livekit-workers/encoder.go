package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
)

// encoder turns the tracks of a room into one MPEG transport stream of H.264 and AAC, which it copies to its sinks.
type encoder struct {
	command *exec.Cmd
	// first is closed with the first data.
	first chan struct{}
	// done is closed after the last data.
	done chan struct{}

	mu    sync.Mutex
	sinks map[*sink]bool
	ended bool
}

func startEncoder(video, audio *receivedTrack) (*encoder, error) {
	arguments := []string{"-nostdin", "-loglevel", "error"}
	maps := []string{}
	e := &encoder{first: make(chan struct{}), done: make(chan struct{}), sinks: map[*sink]bool{}}
	var files, pipes []*os.File
	tracks := []receivedTrack{}
	for _, track := range []*receivedTrack{video, audio} {
		if track == nil {
			continue
		}
		reader, writer, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		files, pipes, tracks = append(files, reader), append(pipes, writer), append(tracks, *track)
		arguments = append(arguments, "-use_wallclock_as_timestamps", "1", "-thread_queue_size", "512", "-probesize", "4096",
			"-analyzeduration", "0", "-f", track.container(), "-i", fmt.Sprintf("pipe:%d", 2+len(files)))
		maps = append(maps, "-map", strconv.Itoa(len(files)-1))
	}
	arguments = append(arguments, maps...)
	arguments = append(arguments, "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p",
		"-r", "15", "-g", "15", "-c:a", "aac", "-ar", "48000", "-af", "aresample=async=1000", "-f", "mpegts",
		"-flush_packets", "1", "pipe:1")
	e.command = exec.Command("ffmpeg", arguments...)
	e.command.ExtraFiles, e.command.Stderr = files, os.Stderr
	output, err := e.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := e.command.Start(); err != nil {
		return nil, err
	}
	for i, track := range tracks {
		_ = files[i].Close()
		go track.copyTo(pipes[i])
	}
	go e.copy(output)
	return e, nil
}

// kill ends the stream at once.
func (e *encoder) kill() {
	_ = e.command.Process.Kill()
	<-e.done
}

// copy gives the stream to the sinks until it ends, and ends them.
func (e *encoder) copy(output io.Reader) {
	defer close(e.done)
	for buffer := make([]byte, 64*1024); ; {
		n, err := output.Read(buffer)
		if n > 0 {
			e.write(append([]byte(nil), buffer[:n]...))
		}
		if err != nil {
			break
		}
	}
	_ = e.command.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
	for s := range e.sinks {
		s.end()
	}
}

func (e *encoder) write(data []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-e.first:
	default:
		close(e.first)
	}
	for s := range e.sinks {
		s.write(data)
	}
}

func (e *encoder) add(s *sink) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sinks[s] = true
	if e.ended {
		s.end()
	}
}

func (e *encoder) remove(s *sink) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.sinks, s)
	s.end()
}
