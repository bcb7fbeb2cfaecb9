package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/livekit/protocol/livekit"
)

// finish waits for the outputs, stores them and reports the results.
func (e *egress) finish(r *recording, ended time.Time) {
	defer os.RemoveAll(r.folder)
	<-r.encoder.done
	close(r.stopUpload)
	for _, s := range []*sink{r.file, r.segments} {
		if s != nil {
			<-s.done
		}
	}
	info := &livekit.EgressInfo{Status: livekit.EgressStatus_EGRESS_COMPLETE, EndedAt: ended.UnixNano()}
	if err := errors.Join(e.finishFile(r, info), e.finishSegments(r, info)); err != nil {
		e.end(livekit.EgressStatus_EGRESS_FAILED, err.Error())
		return
	}
	e.mustReport(partOf(info))
}

func (e *egress) finishFile(r *recording, info *livekit.EgressInfo) error {
	file := e.outputs.file
	if file == nil {
		return nil
	}
	if r.file.failure != nil {
		return errors.New("the file cannot be written")
	}
	path := r.pathOf(file)
	stat, err := os.Stat(path)
	if err != nil {
		return err
	}
	if file.storage.s3 != nil {
		if err := file.storage.put(path, file.path); err != nil {
			return err
		}
	}
	info.FileResults = []*livekit.FileInfo{{Filename: file.path, Location: file.storage.location(file.path),
		Size: stat.Size(), StartedAt: r.started.UnixNano(), EndedAt: info.EndedAt,
		Duration: info.EndedAt - r.started.UnixNano()}}
	return nil
}

func (e *egress) finishSegments(r *recording, info *livekit.EgressInfo) error {
	segments := e.outputs.segments
	if segments == nil {
		return nil
	}
	if r.segments.failure != nil {
		return errors.New("the segments cannot be written")
	}
	prefix := segments.FilenamePrefix
	if r.upload != nil {
		prefix = filepath.Join(r.upload.folder, prefix)
		if err := r.upload.sync(); err != nil {
			return err
		}
	}
	result := &livekit.SegmentsInfo{PlaylistName: segments.PlaylistName, StartedAt: r.started.UnixNano(),
		EndedAt: info.EndedAt, Duration: info.EndedAt - r.started.UnixNano(),
		PlaylistLocation: segments.storage.location(segments.PlaylistName)}
	files, err := filepath.Glob(strings.NewReplacer("[", "\\[", "*", "\\*", "?", "\\?").Replace(prefix) + "_*.ts")
	for _, file := range files {
		if stat, err := os.Stat(file); err == nil {
			result.Size += stat.Size()
			result.SegmentCount++
		}
	}
	info.SegmentResults = []*livekit.SegmentsInfo{result}
	return err
}
