# One run on each of four clients, each on a host of its own. HORNET_HOME is the host's own; the run directory is
# copied to the shared file system when the run has ended.
job "hornetos" {
  datacenters = ["dc1"]
  type        = "batch"

  constraint {
    operator = "distinct_hosts"
    value    = "true"
  }

  group "hosts" {
    count = 4

    restart {
      attempts = 0
      mode     = "fail"
    }

    reschedule {
      attempts  = 0
      unlimited = false
    }

    task "run" {
      driver       = "raw_exec"
      kill_signal  = "SIGINT"
      kill_timeout = "180s"

      env {
        HORNET_HOME = "/opt/swarm"
      }

      config {
        command = "/bin/bash"
        args    = ["local/run.sh"]
      }

      template {
        destination = "local/run.sh"
        data        = <<SCRIPT
name="nomad-$NOMAD_JOB_ID-$NOMAD_ALLOC_INDEX-$(date +%s)"
target="/shared/hornetos/$(hostname)/reports"
/opt/hornetos/hornetos run --name "$name"
code=$?
mkdir -p "$target"
cp -r "$HORNET_HOME/reports/$name" "$target/" || exit 2
exit "$code"
SCRIPT
      }

      resources {
        cores  = 8
        memory = 16000
      }
    }
  }
}
