// What a JVM takes from malloc: its compiler threads, zlib, direct buffers, class metadata, thread stacks' bookkeeping.
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.zip.Deflater;
import java.util.zip.Inflater;

public class Work {
    static String sha(byte[] data) throws Exception {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(data));
    }

    static String word(Random random) {
        return random.ints(1 + random.nextInt(20), 'a', 'i').mapToObj(c -> String.valueOf((char) c))
            .collect(Collectors.joining());
    }

    static String words(int seed) throws Exception {
        Random random = new Random(seed);
        TreeMap<String, Integer> count = new TreeMap<>();
        for (int i = 0; i < 30_000; i++) count.merge(word(random), 1, Integer::sum);
        return count.size() + " " + sha(count.toString().getBytes(StandardCharsets.UTF_8));
    }

    static String directBuffers(int seed) throws Exception {
        Random random = new Random(seed);
        List<ByteBuffer> kept = new ArrayList<>();
        long sum = 0;
        for (int i = 0; i < 3000; i++) {
            ByteBuffer buffer = ByteBuffer.allocateDirect(1 + random.nextInt(30_000));
            while (buffer.remaining() >= 8) buffer.putLong(i * 31L);
            buffer.flip();
            sum += buffer.remaining();
            kept.add(buffer);
            if (kept.size() > 100) kept.remove(random.nextInt(kept.size()));
        }
        for (ByteBuffer buffer : kept) sum += buffer.remaining() >= 8 ? buffer.getLong() : 0;
        return Long.toString(sum);
    }

    static String zlib(int seed) throws Exception {
        byte[] data = new byte[400_000];
        Random random = new Random(seed);
        for (int i = 0; i < data.length; i++) data[i] = (byte) ('a' + random.nextInt(6));
        StringBuilder sizes = new StringBuilder();
        for (int level = 1; level <= 9; level++) {
            Deflater deflater = new Deflater(level);
            deflater.setInput(data);
            deflater.finish();
            ByteArrayOutputStream packed = new ByteArrayOutputStream();
            byte[] chunk = new byte[8192];
            while (!deflater.finished()) packed.write(chunk, 0, deflater.deflate(chunk));
            deflater.end();
            Inflater inflater = new Inflater();
            inflater.setInput(packed.toByteArray());
            ByteArrayOutputStream again = new ByteArrayOutputStream();
            while (!inflater.finished()) again.write(chunk, 0, inflater.inflate(chunk));
            inflater.end();
            sizes.append(packed.size()).append(sha(again.toByteArray()).equals(sha(data)) ? " " : " differs ");
        }
        return sizes.toString();
    }

    interface Job { String run(int seed) throws Exception; }

    public static void main(String[] arguments) throws Exception {
        Job[] jobs = {Work::words, Work::directBuffers, Work::zlib};
        var pool = Executors.newFixedThreadPool(4);
        List<Future<String>> results = new ArrayList<>();
        for (int seed = 0; seed < 4; seed++) {
            for (Job job : jobs) {
                int fixed = seed;
                results.add(pool.submit(() -> job.run(fixed)));
            }
        }
        for (Future<String> result : results) System.out.println(result.get());
        pool.shutdown();
        for (int i = 0; i < 100; i++) {
            Thread thread = new Thread(() -> ByteBuffer.allocateDirect(1000));
            thread.start();
            thread.join();
        }
        System.out.println(IntStream.range(0, 200_000).parallel()
            .mapToObj(Integer::toString).mapToInt(String::length).sum());
        Process child = new ProcessBuilder("/bin/echo", "from a child").redirectErrorStream(true).start();
        System.out.print(new String(child.getInputStream().readAllBytes(), StandardCharsets.UTF_8));
        System.out.println(child.waitFor());
        System.gc();
    }
}
