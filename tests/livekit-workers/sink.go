package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/livekit/protocol/livekit"
)

// sink is an ffmpeg that writes an encoder's stream to one output without encoding it again.
type sink struct {
	command *exec.Cmd
	input   io.WriteCloser
	data    chan []byte
	ending  sync.Once
	// done is closed when ffmpeg has ended; failure is set before.
	done    chan struct{}
	failure error
}

func startSink(arguments ...string) (*sink, error) {
	all := append([]string{"-loglevel", "error", "-y", "-analyzeduration", "3000000", "-f", "mpegts", "-i", "pipe:0"}, arguments...)
	s := &sink{command: exec.Command("ffmpeg", all...), data: make(chan []byte, 4096), done: make(chan struct{})}
	s.command.Stderr = os.Stderr
	var err error
	if s.input, err = s.command.StdinPipe(); err != nil {
		return nil, err
	}
	if err := s.command.Start(); err != nil {
		return nil, err
	}
	go s.copy()
	go func() {
		s.failure = s.command.Wait()
		close(s.done)
	}()
	return s, nil
}

func startFile(path string) (*sink, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if strings.HasSuffix(path, ".ogg") {
		return startSink("-map", "0:a", "-c:a", "libopus", path)
	}
	return startSink("-map", "0", "-c", "copy", "-movflags", "+faststart", "-f", "mp4", path)
}

// startSegments writes a playlist and segments into a folder.
func startSegments(folder string, s *livekit.SegmentedFileOutput) (*sink, error) {
	prefix, playlist := filepath.Join(folder, s.FilenamePrefix), filepath.Join(folder, s.PlaylistName)
	for _, path := range []string{prefix, playlist} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
	}
	seconds := s.SegmentDuration
	if seconds == 0 {
		seconds = 6
	}
	return startSink("-map", "0", "-c", "copy", "-f", "hls", "-hls_time", strconv.Itoa(int(seconds)), "-hls_list_size", "0",
		"-hls_flags", "temp_file", "-hls_playlist_type", "event", "-hls_segment_filename", prefix+"_%05d.ts", playlist)
}

func startRTMP(url string) (*sink, error) {
	return startSink("-map", "0", "-c", "copy", "-f", "flv", url)
}

// copy feeds ffmpeg until end is called.
func (s *sink) copy() {
	for data := range s.data {
		if data == nil {
			break
		}
		if _, err := s.input.Write(data); err != nil {
			break
		}
	}
	_ = s.input.Close()
}

// write drops data of a sink that is too slow or has failed.
func (s *sink) write(data []byte) {
	select {
	case s.data <- data:
	default:
	}
}

// end lets ffmpeg finish after the data that it has so far.
func (s *sink) end() {
	s.ending.Do(func() {
		go func() {
			select {
			case s.data <- nil:
			case <-s.done:
			}
		}()
	})
}
