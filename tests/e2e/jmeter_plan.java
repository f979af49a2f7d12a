import org.apache.jmeter.control.LoopController;
import org.apache.jmeter.engine.StandardJMeterEngine;
import org.apache.jmeter.protocol.http.sampler.*;
import org.apache.jmeter.reporters.ResultCollector;
import org.apache.jmeter.testelement.TestPlan;
import org.apache.jmeter.threads.ThreadGroup;
import org.apache.jmeter.util.JMeterUtils;
import org.apache.jorphan.collections.HashTree;

/** Four threads that ask 25 times each, run by JMeter's own engine: Debian's command line cannot read test plans
    with the library for XML that it comes with. Arguments: port, path, file for the results. */
class Plan {
    public static void main(String[] given) throws Exception {
        JMeterUtils.loadJMeterProperties("/usr/share/jmeter/bin/jmeter.properties");
        JMeterUtils.setJMeterHome("/usr/share/jmeter");
        JMeterUtils.setProperty("jmeter.save.saveservice.output_format", "csv");
        JMeterUtils.setProperty("jmeter.save.saveservice.print_field_names", "true");
        JMeterUtils.initLocale();
        HTTPSamplerProxy work = new HTTPSamplerProxy("HttpClient4");
        work.setDomain("127.0.0.1"); work.setPort(Integer.parseInt(given[0])); work.setPath(given[1]);
        work.setMethod("GET"); work.setUseKeepAlive(true); work.setName("work");
        LoopController loop = new LoopController();
        loop.setLoops(25); loop.setFirst(true); loop.initialize();
        ThreadGroup customers = new ThreadGroup();
        customers.setName("customers"); customers.setNumThreads(4); customers.setRampUp(0); customers.setSamplerController(loop);
        TestPlan plan = new TestPlan("shop");
        ResultCollector collector = new ResultCollector();
        collector.setFilename(given[2]);
        HashTree tree = new HashTree(), group = tree.add(plan).add(customers);
        group.add(work); tree.add(tree.getArray()[0], collector);
        StandardJMeterEngine engine = new StandardJMeterEngine();
        engine.configure(tree); engine.run();
        System.exit(0);
    }
}
