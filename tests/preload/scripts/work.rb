# JSON, strings, hashes, threads, fork, garbage collection under stress and compaction.
require 'json'
require 'digest'
require 'zlib'
require 'set'
require 'bigdecimal'

RANDOM = Random.new(7)
def word = Array.new(1 + RANDOM.rand(20)) { (97 + RANDOM.rand(8)).chr }.join

def documents
  rows = Array.new(8_000) { |i| { 'id' => i, 'name' => word, 'x' => i / 7.0,
                                    'tags' => Array.new(RANDOM.rand(6)) { word } } }
  text = JSON.generate(rows)
  3.times { rows = JSON.parse(JSON.pretty_generate(JSON.parse(text))) }
  puts "json #{text.bytesize} #{Digest::SHA256.hexdigest(JSON.generate(rows))}"
  groups = rows.group_by { |row| row['name'][0, 2] }.transform_values { |list| list.sum { |row| row['x'] }.round(3) }
  puts "groups #{Digest::SHA256.hexdigest(groups.sort.to_s)}"
  packed = Zlib::Deflate.deflate(text, 9)
  puts "zlib #{packed.bytesize} #{Zlib::Inflate.inflate(packed) == text}"
end

def strings
  text = Array.new(40_000) { word }.join(' ')
  counted = text.scan(/\w+/).tally.select { |_, n| n > 1 }
  puts "tally #{counted.size} #{Digest::SHA256.hexdigest(counted.sort.to_s)}"
  puts "gsub #{Digest::SHA256.hexdigest(text.gsub(/(\w)(\w+)/) { "#{$2}#{$1.upcase}" })}"
  growing = +''
  50_000.times { |i| growing << "line #{i}\n" }
  puts "lines #{growing.lines.size} #{growing.encode('UTF-16LE').bytesize}"
  puts "big #{(2**5000).to_s.size} #{(1..300).inject(:*).digits.sum} #{BigDecimal('2').sqrt(60).to_s[0, 50]}"
end

def with_threads
  queue = Thread::Queue.new
  workers = Array.new(6) do |id|
    Thread.new do
      own = {}
      while (job = queue.pop) != :end
        own["#{id % 2}-#{job}"] = 'x' * (job % 300)
      end
      own.size
    end
  end
  20_000.times { |i| queue << i }
  6.times { queue << :end }
  puts "threads #{workers.sum(&:value)}"
  short = Array.new(200) { |i| Thread.new { Array.new(100) { |k| "#{i}#{k}" }.join.size } }
  puts "short threads #{short.sum(&:value)}"
end

def with_fork
  data = Array.new(5_000) { word }
  readers = Array.new(4) do |id|
    reader, writer = IO.pipe
    pid = fork do
      reader.close
      GC.start
      writer.write(Marshal.dump(data.map { |w| w * id }.sort.last(10)))
      writer.close
      exit!(id)
    end
    writer.close
    [pid, reader]
  end
  readers.each do |pid, reader|
    result = Marshal.load(reader.read)
    Process.wait(pid)
    puts "child #{$?.exitstatus} #{result.map(&:size).inspect}"
  end
end

def collection
  kept = []
  30.times do |turn|
    kept << Array.new(3_000) { |i| "#{turn}:#{i}" * (1 + i % 20) }
    kept.shift if kept.size > 5
    GC.start(full_mark: turn.odd?, immediate_sweep: true)
  end
  GC.compact
  puts "kept #{kept.flatten.sum(&:size)}"
  GC.stress = true
  puts "stress #{Array.new(40) { |i| { i => [i.to_s] * 3 } }.to_s.size}"
  GC.stress = false
  ObjectSpace.garbage_collect
end

documents
strings
with_threads
with_fork
collection
documents
