import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * Kafka Streams: two threads, a cache that holds all users, a commit every second.
 *
 * VARIANT is GUARANTEE-FORMAT. `json` is how its users write it: objects, Jackson, data binding. `packed` is as fast as we could make
 * it: a streaming parser, and a state that is one byte array, changed by copying, never turned into objects.
 */
public final class Job {
  private static final int RING = 64;
  private static final double HALF_LIFE_MS = 6 * 3_600_000.0;
  private static final double LONG_HALF_LIFE_MS = 28 * HALF_LIFE_MS;
  private static final String STORE = "states";
  private static final AtomicBoolean told = new AtomicBoolean();

  public static void main(String[] arguments) throws InterruptedException {
    Map<String, String> given = System.getenv();
    String[] variant = given.get("VARIANT").split("-");
    Properties properties = new Properties();
    properties.put("application.id", given.get("GROUP"));
    properties.put("bootstrap.servers", given.get("BOOTSTRAP_SERVERS"));
    properties.put("state.dir", given.get("DATA_DIR"));
    properties.put("processing.guarantee", variant[0].equals("exactly_once") ? "exactly_once_v2" : "at_least_once");
    properties.put("auto.offset.reset", "earliest");
    properties.put("num.stream.threads", "2");
    properties.put("commit.interval.ms", "1000");
    properties.put("statestore.cache.max.bytes", String.valueOf(512L << 20));
    properties.put("replication.factor", "1");

    Topology topology = new Topology();
    topology.addSource("events", new ByteArrayDeserializer(), new ByteArrayDeserializer(), given.get("TOPIC"));
    if (variant[1].equals("packed")) {
      topology.addProcessor("track", PackedJob::new, "events");
      topology.addStateStore(
          Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(STORE), Serdes.ByteArray(), Serdes.ByteArray())
              .withCachingEnabled(), "track");
    } else {
      topology.addProcessor("track", JsonJob::new, "events");
      topology.addStateStore(
          Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(STORE), Serdes.String(), JsonJob.serde())
              .withCachingEnabled(), "track");
    }
    KafkaStreams streams = new KafkaStreams(topology, properties);
    streams.setUncaughtExceptionHandler(error -> {
      error.printStackTrace();
      Runtime.getRuntime().halt(1);
      return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
    });
    streams.start();
    new CountDownLatch(1).await();
  }

  private static void tellFirst() {
    if (!told.get() && told.compareAndSet(false, true)) {
      System.out.println("FIRST");
      System.out.flush();
    }
  }

  static final class JsonJob implements Processor<byte[], byte[], Void, Void> {
    private static final ObjectMapper MAPPER = new ObjectMapper();
    private KeyValueStore<String, State> states;

    public static final class Event {
      public String user_id;
      public String item_id;
      public String action;
      public long event_time;
      public int dwell_ms;
    }

    public static final class Behaviour {
      public String item;
      public long time;
      public String action;
    }

    public static final class State {
      public ArrayDeque<Behaviour> ring = new ArrayDeque<>();
      public double shortTerm;
      public double longTerm;
      public long time;
      public int count;
    }

    static Serde<State> serde() {
      return Serdes.serdeFrom(
          (topic, state) -> {
            try {
              return state == null ? null : MAPPER.writeValueAsBytes(state);
            } catch (IOException error) {
              throw new UncheckedIOException(error);
            }
          },
          (topic, bytes) -> {
            try {
              return bytes == null ? null : MAPPER.readValue(bytes, State.class);
            } catch (IOException error) {
              throw new UncheckedIOException(error);
            }
          });
    }

    @Override
    public void init(ProcessorContext<Void, Void> context) {
      states = context.getStateStore(STORE);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
      tellFirst();
      try {
        Event event = MAPPER.readValue(record.value(), Event.class);
        State state = states.get(event.user_id);
        if (state == null) state = new State();
        Behaviour behaviour = new Behaviour();
        behaviour.item = event.item_id;
        behaviour.time = event.event_time;
        behaviour.action = event.action;
        state.ring.addLast(behaviour);
        if (state.ring.size() > RING) state.ring.removeFirst();
        double elapsed = state.time == 0 ? 0 : Math.max(0, event.event_time - state.time);
        double strength = switch (event.action) {
          case "click" -> 1.0;
          case "cart" -> 2.0;
          case "purchase" -> 4.0;
          default -> 0.2;
        };
        state.shortTerm = state.shortTerm * Math.exp(-elapsed / HALF_LIFE_MS) + strength;
        state.longTerm = state.longTerm * Math.exp(-elapsed / LONG_HALF_LIFE_MS) + strength;
        state.time = Math.max(state.time, event.event_time);
        state.count++;
        states.put(event.user_id, state);
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
    }
  }

  /** State: short f64, long f64, time i64, count i32, then 17 bytes a behaviour, oldest first: item u64, time i64, action u8. */
  static final class PackedJob implements Processor<byte[], byte[], Void, Void> {
    private static final int HEADER = 28;
    private static final int BEHAVIOUR = 17;
    private static final byte[] EMPTY = new byte[HEADER];
    private static final String[] ACTIONS = {"view", "click", "cart", "purchase"};
    private static final double[] STRENGTHS = {0.2, 1.0, 2.0, 4.0};
    private static final JsonFactory JSON = new JsonFactory();
    private KeyValueStore<byte[], byte[]> states;

    @Override
    public void init(ProcessorContext<Void, Void> context) {
      states = context.getStateStore(STORE);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
      tellFirst();
      byte[] user = null;
      long item = 0;
      long time = 0;
      int action = 0;
      try (JsonParser parser = JSON.createParser(record.value())) {
        parser.nextToken();
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
          String field = parser.currentName();
          parser.nextToken();
          switch (field) {
            case "user_id" -> user = parser.getText().getBytes(StandardCharsets.UTF_8);
            case "item_id" -> item = hash(parser.getText());
            case "event_time" -> time = parser.getLongValue();
            case "action" -> action = Arrays.asList(ACTIONS).indexOf(parser.getText());
            default -> { }
          }
        }
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
      byte[] before = states.get(user);
      states.put(user, update(before == null ? EMPTY : before, item, time, action));
    }

    private static byte[] update(byte[] before, long item, long time, int action) {
      boolean full = before.length == HEADER + RING * BEHAVIOUR;
      byte[] after = full ? before.clone() : Arrays.copyOf(before, before.length + BEHAVIOUR);
      if (full) System.arraycopy(before, HEADER + BEHAVIOUR, after, HEADER, (RING - 1) * BEHAVIOUR);
      ByteBuffer state = ByteBuffer.wrap(after).order(ByteOrder.LITTLE_ENDIAN);
      long last = state.getLong(16);
      double elapsed = last == 0 ? 0 : Math.max(0, time - last);
      state.putDouble(0, state.getDouble(0) * Math.exp(-elapsed / HALF_LIFE_MS) + STRENGTHS[action]);
      state.putDouble(8, state.getDouble(8) * Math.exp(-elapsed / LONG_HALF_LIFE_MS) + STRENGTHS[action]);
      state.putLong(16, Math.max(last, time));
      state.putInt(24, state.getInt(24) + 1);
      int at = after.length - BEHAVIOUR;
      state.putLong(at, item).putLong(at + 8, time).put(at + 16, (byte) action);
      return after;
    }

    /** FNV-1a, 64 bits. */
    private static long hash(String text) {
      long hash = 0xcbf29ce484222325L;
      for (int i = 0; i < text.length(); i++) hash = (hash ^ text.charAt(i)) * 0x100000001b3L;
      return hash;
    }
  }
}
